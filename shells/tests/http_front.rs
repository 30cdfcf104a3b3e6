//! The HTTP layer with real sockets: everything a client may do to it, on loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use miniku::http::{Asked, Config, Exchange, Limits, Refusal, Reply, Respond, Serving, Upgrade, serve};

/// No condition in this file takes longer on an idle machine; a loaded one gets its time.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the handler under test does, by path.
#[derive(Default)]
struct World {
    /// Channels of the watchers at work.
    watchers: Mutex<Vec<Sender<Vec<u8>>>>,
    /// Watches that ended because their client departed.
    departed: AtomicUsize,
    /// Watches that ended because writing failed.
    broken: AtomicUsize,
}

impl World {
    fn handle(&self, exchange: Exchange) {
        let answer = match exchange.path() {
            "/echo" => {
                let body = exchange.body().to_vec();
                exchange.respond(200, "text/plain", &[], &body)
            }
            "/long" => exchange.respond(200, "text/plain", &[], &vec![b'x'; 4 << 20]),
            "/none" => return drop(exchange),
            "/slow" => {
                std::thread::sleep(Duration::from_millis(300));
                exchange.respond(200, "text/plain", &[], b"slow")
            }
            "/three" => exchange.stream(200, "text/plain", &[]).and_then(|mut stream| {
                ["one", "two", "three"].iter().try_for_each(|each| stream.send(each.as_bytes()))
            }),
            "/watch" => return self.watch(exchange),
            "/segments" => {
                let segments =
                    format!("{:?} {}", exchange.query_pairs().collect::<Vec<_>>(), exchange.headers().count());
                exchange.respond(200, "text/plain", &[], segments.as_bytes())
            }
            _ => exchange.respond(200, "text/plain", &[("X-Test", "yes")], b"hello"),
        };
        // An error means that the client is gone.
        let _ = answer;
    }

    fn watch(&self, exchange: Exchange) {
        let Ok(mut stream) = exchange.stream(200, "application/json", &[]) else { return };
        let departure = stream.client().departure();
        let (sender, events): (_, Receiver<Vec<u8>>) = bounded(1000);
        self.watchers.lock().unwrap().push(sender);
        loop {
            select! {
                recv(departure) -> _ => {
                    self.departed.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                recv(events) -> event => match event {
                    Ok(event) if stream.send(&event).is_ok() => {}
                    Ok(_) => {
                        self.broken.fetch_add(1, Ordering::SeqCst);
                        return;
                    }
                    Err(_) => return,
                },
            }
        }
    }
}

struct Bed {
    serving: Serving,
    world: Arc<World>,
}

fn bed_with(change: impl FnOnce(&mut Limits)) -> Bed {
    let world = Arc::new(World::default());
    let mut limits = Limits::default();
    change(&mut limits);
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), limits, ..Config::default() };
    let handler = {
        let world = world.clone();
        move |exchange: Exchange| world.handle(exchange)
    };
    Bed { serving: serve(config, Arc::new(handler)).unwrap(), world }
}

fn bed() -> Bed {
    bed_with(|_| {})
}

impl Bed {
    fn address(&self) -> SocketAddr {
        self.serving.local_addr()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Everything until the server closes, for these bytes.
    fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may have refused and closed before it has taken all.
        let _ = stream.write_all(bytes);
        rest(&mut stream)
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        self.serving.metrics().refused(refusal)
    }

    fn check_refused(&self, bytes: impl AsRef<[u8]>, refusal: Refusal) {
        let before = self.refused(refusal);
        let shown = String::from_utf8_lossy(bytes.as_ref()).chars().take(300).collect::<String>();
        let answer = self.talk(bytes.as_ref());
        assert!(answer.starts_with(&format!("HTTP/1.1 {} ", refusal.code())), "{shown:?}: {answer:?}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nConnection: close"), "{head}");
        assert!(body.starts_with("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},"), "{body}");
        assert!(body.ends_with("}\n"), "one answer and no more: {body:?}");
        assert_eq!(self.refused(refusal), before + 1);
    }
}

fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "after {:?}", String::from_utf8_lossy(&bytes))
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer with Content-Length: head and body.
fn answer(stream: &mut TcpStream) -> (String, String) {
    let head = read_until(stream, "\r\n\r\n");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect(&head).parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// Byte by byte, so that nothing of what follows is taken.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(end.as_bytes()) {
        stream
            .read_exact(&mut byte)
            .unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&text)));
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

#[test]
fn keeps_connections_alive() {
    let bed = bed();
    let mut stream = bed.connect();
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).unwrap();
        let (head, body) = answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: "), "{head}");
        assert!(head.contains("\r\nX-Test: yes\r\n"), "{head}");
        assert_eq!(body, "hello");
    }
    // After a stream, too.
    stream.write_all(get("/three").as_bytes()).unwrap();
    assert!(read_until(&mut stream, "0\r\n\r\n").ends_with("3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let last = rest(&mut stream);
    assert!(last.ends_with("\r\n\r\nhello") && last.contains("\r\nConnection: close\r\n"), "{last}");
}

#[test]
fn answers_pipelined_requests_in_order() {
    let bed = bed();
    let mut stream = bed.connect();
    let post = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc";
    let chunked = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1;x\r\nf\r\n0\r\nT: t\r\n\r\n";
    stream.write_all([&get("/slow"), post, chunked, GET].concat().as_bytes()).unwrap();
    let bodies: Vec<String> = (0..4).map(|_| answer(&mut stream).1).collect();
    assert_eq!(bodies, ["slow", "abc", "def", "hello"]);
}

#[test]
fn answers_whatever_way_the_bytes_are_cut() {
    let bed = bed();
    let mut stream = bed.connect();
    let request = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(answer(&mut stream).1, "hello");
}

#[test]
fn head_has_no_body() {
    let bed = bed();
    let mut stream = bed.connect();
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").contains("\r\nContent-Length: 5\r\n"));
    stream.write_all(b"HEAD /three HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").contains("\r\nTransfer-Encoding: chunked\r\n"));
    stream.write_all(GET.as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).1, "hello");
}

#[test]
fn speaks_http_10() {
    let bed = bed();
    let whole = bed.talk(b"GET / HTTP/1.0\r\n\r\n");
    assert!(whole.ends_with("\r\n\r\nhello"), "{whole}");
    let stream = bed.talk(b"GET /three HTTP/1.0\r\n\r\n");
    assert!(stream.ends_with("\r\n\r\nonetwothree") && !stream.contains("chunked"), "{stream}");
}

#[test]
fn says_continue_when_asked() {
    let bed = bed();
    let mut stream = bed.connect();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        .unwrap();
    assert_eq!(read_until(&mut stream, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    assert_eq!(answer(&mut stream).1, "ok");
    // Refused before the body was sent.
    bed.check_refused(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
        Refusal::BodyTooLarge,
    );
}

#[test]
fn carries_long_bodies_both_ways() {
    let bed = bed();
    let mut stream = bed.connect();
    let body = vec![b'y'; 3 << 20];
    let mut sender = stream.try_clone().unwrap();
    let sent = body.clone();
    let thread = std::thread::spawn(move || {
        write!(sender, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", sent.len()).unwrap();
        sender.write_all(&sent).unwrap();
        write!(sender, "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        for part in sent.chunks(50_000) {
            write!(sender, "{:X}\r\n", part.len()).unwrap();
            sender.write_all(part).unwrap();
            sender.write_all(b"\r\n").unwrap();
        }
        sender.write_all(b"0\r\n\r\n").unwrap();
    });
    assert!(answer(&mut stream).1.as_bytes() == body);
    assert!(answer(&mut stream).1.as_bytes() == body);
    thread.join().unwrap();
    stream.write_all(get("/long").as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).1.len(), 4 << 20);
}

#[test]
fn refuses_what_is_too_large() {
    let bed = bed();
    bed.check_refused(
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
        Refusal::HeadTooLarge,
    );
    bed.check_refused(
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(200)),
        Refusal::HeadTooLarge,
    );
    bed.check_refused(
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(20_000)),
        Refusal::TargetTooLong,
    );
    let mut known = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n".to_vec();
    known.resize(known.len() + 4_000_000, b'x');
    bed.check_refused(known, Refusal::BodyTooLarge);
    let mut chunked = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        chunked.extend_from_slice(b"186a0\r\n");
        chunked.resize(chunked.len() + 100_000, b'x');
        chunked.extend_from_slice(b"\r\n");
    }
    bed.check_refused(chunked, Refusal::BodyTooLarge);
}

#[test]
fn refuses_smuggling() {
    use Refusal::*;
    let bed = bed();
    let post = |headers: &str, body: &str| format!("POST /echo HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n{body}");
    bed.check_refused(
        post("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nGET /smuggled HTTP/1.1\r\n"),
        ConflictingFraming,
    );
    bed.check_refused(post("Transfer-Encoding: chunked\r\nContent-Length: 6", "0\r\n\r\nG"), ConflictingFraming);
    bed.check_refused(post("Content-Length: 3\r\nContent-Length: 5", "abcde"), ConflictingFraming);
    bed.check_refused(post("Content-Length: 3,3", "abc"), ConflictingFraming);
    bed.check_refused(post("Content-Length: +3", "abc"), ConflictingFraming);
    bed.check_refused(post("Transfer-Encoding: identity, chunked", ""), UnknownTransferCoding);
    bed.check_refused(post("Transfer-Encoding : chunked", "0\r\n\r\n"), MalformedHead);
    bed.check_refused(post("X: a\r\n Transfer-Encoding: chunked", ""), MalformedHead);
    bed.check_refused("GET / HTTP/1.1\nHost: localhost\n\n", LoneLineBreak);
    for body in ["zz\r\n", "-1\r\n", "1\r\nab\r\n", "1\nab\n", "\r\n", "11111111111111111\r\n"] {
        bed.check_refused(post("Transfer-Encoding: chunked", body), MalformedChunk);
    }
    bed.check_refused("GET / HTTP/1.1\r\n\r\n", BadHost);
    bed.check_refused("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", BadHost);
    bed.check_refused("CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n", MethodNotAllowed);
    bed.check_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UnknownVersion);
    bed.check_refused([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, b'\r', b'\n', b'\r', b'\n'], MalformedHead);
    // An error never overtakes the answer before it.
    let both = bed.talk(format!("{}nonsense\r\n\r\n", get("/slow")).as_bytes());
    assert!(both.starts_with("HTTP/1.1 200 OK") && both.contains("slowHTTP/1.1 400 Bad Request"), "{both}");
}

#[test]
fn refuses_browsers_that_come_from_elsewhere() {
    let bed = bed();
    let port = bed.address().port();
    let request = |host: &str, more: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: {host}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let near = format!("localhost:{port}");
    bed.check_refused(request("evil.example", ""), Refusal::ForeignHost);
    bed.check_refused(request(&format!("127.0.0.1.nip.io:{port}"), ""), Refusal::ForeignHost);
    bed.check_refused(request(&near, "Origin: https://evil.example\r\n"), Refusal::ForeignOrigin);
    bed.check_refused(request(&near, "Origin: null\r\n"), Refusal::ForeignOrigin);
    bed.check_refused(request(&near, "Origin: http://localhost:3000\r\n"), Refusal::ForeignOrigin);
    bed.check_refused(request(&near, "Sec-Fetch-Site: cross-site\r\n"), Refusal::ForeignOrigin);
    for fine in [
        request(&near, ""),
        request(&format!("127.0.0.1:{port}"), "Content-Type: application/x-www-form-urlencoded\r\n"),
        request(&near, &format!("Origin: http://{near}\r\nSec-Fetch-Site: same-origin\r\n")),
    ] {
        assert!(bed.talk(fine.as_bytes()).starts_with("HTTP/1.1 200 OK\r\n"), "{fine}");
    }
}

#[test]
fn gives_up_on_slow_heads_and_bodies() {
    let bed = bed_with(|limits| {
        limits.head_time = Duration::from_millis(200);
        limits.body_stall = Duration::from_millis(200);
        limits.idle_time = Duration::from_millis(600);
    });
    // A byte now and then keeps no head alive.
    let mut slow = bed.connect();
    let began = Instant::now();
    let mut answer = Vec::new();
    slow.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while answer.is_empty() && began.elapsed() < PATIENCE {
        // Fails once the server has closed.
        let _ = slow.write_all(b"G");
        let mut buffer = [0; 1024];
        if let Ok(count) = slow.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..count]);
        }
    }
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 408 "), "{answer:?}");
    bed.check_refused("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nab", Refusal::BodyTimeout);
    bed.check_refused(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        Refusal::BodyTimeout,
    );
    // An idle connection is closed without a word.
    let mut idle = bed.connect();
    idle.write_all(GET.as_bytes()).unwrap();
    assert!(rest(&mut idle).ends_with("hello"));
    assert_eq!(rest(&mut bed.connect()), "");
}

#[test]
fn serves_others_while_many_are_idle() {
    let bed = bed();
    let mut idle: Vec<TcpStream> = (0..200).map(|_| bed.connect()).collect();
    for (index, stream) in idle.iter_mut().enumerate() {
        match index % 3 {
            0 => {}
            1 => stream.write_all(b"GET / HT").unwrap(),
            _ => stream.write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhal").unwrap(),
        }
    }
    let began = Instant::now();
    for _ in 0..20 {
        let mut stream = bed.connect();
        stream.write_all(GET.as_bytes()).unwrap();
        assert_eq!(answer(&mut stream).1, "hello");
    }
    assert!(began.elapsed() < PATIENCE / 2, "{:?} {:?}", began.elapsed(), bed.serving.metrics());
    for (index, stream) in idle.iter_mut().enumerate() {
        match index % 3 {
            0 => stream.write_all(GET.as_bytes()).unwrap(),
            1 => stream.write_all(&GET.as_bytes()[8..]).unwrap(),
            _ => stream.write_all(b"f a body").unwrap(),
        }
    }
    for (index, stream) in idle.iter_mut().enumerate() {
        assert_eq!(answer(stream).1, if index % 3 == 2 { "half a bod" } else { "hello" });
    }
}

#[test]
fn bounds_connections() {
    let small = bed_with(|limits| limits.connections = 3);
    let _kept: Vec<TcpStream> = (0..3).map(|_| small.connect()).collect();
    eventually("three are open", || small.serving.metrics().connections_open.load(Ordering::Relaxed) == 3);
    small.check_refused(GET, Refusal::TooManyConnections);
    drop(_kept);
    eventually("they are closed", || small.serving.metrics().connections_open.load(Ordering::Relaxed) == 0);
    assert!(small.talk(b"GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200"));
    let per_peer = bed_with(|limits| limits.connections_per_peer = 2);
    let _kept: Vec<TcpStream> = (0..2).map(|_| per_peer.connect()).collect();
    eventually("two are open", || per_peer.serving.metrics().connections_open.load(Ordering::Relaxed) == 2);
    per_peer.check_refused(GET, Refusal::TooManyFromPeer);
}

#[test]
fn one_stuck_watcher_holds_up_nobody() {
    const WATCHERS: usize = 50;
    let bed = bed_with(|limits| limits.write_stall = Duration::from_millis(1500));
    let mut stuck = bed.connect();
    stuck.write_all(get("/watch").as_bytes()).unwrap();
    eventually("the stuck one watches", || bed.world.watchers.lock().unwrap().len() == 1);
    let mut readers: Vec<TcpStream> = (0..WATCHERS).map(|_| bed.connect()).collect();
    for stream in &mut readers {
        stream.write_all(get("/watch").as_bytes()).unwrap();
        read_until(stream, "\r\n\r\n");
    }
    eventually("all watch", || bed.world.watchers.lock().unwrap().len() == 1 + WATCHERS);
    let event = vec![b'e'; 64 << 10];
    for _ in 0..50 {
        for watcher in bed.world.watchers.lock().unwrap().iter() {
            // The stuck one's channel may fill, or close when it is given up.
            let _ = watcher.try_send(event.clone());
        }
        for stream in &mut readers {
            assert_eq!(read_until(stream, "\r\n"), "10000\r\n");
            let mut got = vec![0; event.len() + 2];
            stream.read_exact(&mut got).unwrap();
        }
    }
    eventually("the stuck one was given up", || {
        // Its own buffers hold some megabytes. The channel may fill, or close when it is given up.
        let _ = bed.world.watchers.lock().unwrap()[0].try_send(event.clone());
        bed.world.broken.load(Ordering::SeqCst) + bed.world.departed.load(Ordering::SeqCst) == 1
    });
}

#[test]
fn a_watch_ends_when_its_client_departs() {
    let bed = bed();
    let streams = || bed.serving.metrics().streams_open.load(Ordering::Relaxed);
    for (round, way) in ["close", "reset", "half"].into_iter().enumerate() {
        let mut stream = bed.connect();
        stream.write_all(get("/watch").as_bytes()).unwrap();
        read_until(&mut stream, "\r\n\r\n");
        eventually("it watches", || bed.world.watchers.lock().unwrap().len() == round + 1);
        let began = Instant::now();
        match way {
            "half" => stream.shutdown(Shutdown::Write).unwrap(),
            "reset" => {
                let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
                drop(stream.try_clone().unwrap());
            }
            _ => {}
        }
        if way == "half" {
            // What nc sees: the stream's orderly end.
            assert_eq!(rest(&mut stream), "0\r\n\r\n");
        }
        drop(stream);
        eventually("the watch ended", || bed.world.departed.load(Ordering::SeqCst) == round + 1 && streams() == 0);
        assert!(began.elapsed() < Duration::from_secs(5), "{way}: {:?}", began.elapsed());
    }
}

#[test]
fn a_half_closed_client_gets_its_answer() {
    let bed = bed();
    for path in ["/slow", "/long"] {
        let mut stream = bed.connect();
        stream.write_all(get(path).as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let answer = rest(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.len() >= 4, "{path}");
        if path == "/long" {
            assert!(answer.len() > 4 << 20);
        }
    }
}

#[test]
fn the_inner_server_answers_only_the_front() {
    let bed = bed();
    for forged in ["", "Miniku-Client: 00000000000000000000000000000001\r\n"] {
        let mut inner = UnixStream::connect(bed.serving.inner_path()).unwrap();
        inner.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(inner, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{forged}\r\n").unwrap();
        let mut answer = String::new();
        inner.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    // A client's own claim is dropped, and the handler never sees the front's.
    let answer = bed.talk(
        b"GET /segments?a=%20b HTTP/1.1\r\nHost: localhost\r\nMiniku-Client: x\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    );
    assert!(answer.contains("[(\"a\", \" b\")] 1HTTP/1.1 200 OK"), "{answer}");
}

#[test]
fn a_handler_without_an_answer_answers_500() {
    let bed = bed();
    let mut stream = bed.connect();
    stream.write_all(get("/none").as_bytes()).unwrap();
    let (head, body) = answer(&mut stream);
    assert!(
        head.starts_with("HTTP/1.1 500 Internal Server Error\r\n") && body.contains("\"code\":500"),
        "{head}{body}"
    );
}

/// A request for another protocol is handed over with its socket, and counted until its handler is done.
/// Answers some paths on the front's thread, or lets another thread answer them.
fn at_once(asked: Asked, reply: Reply) -> Option<Reply> {
    match asked.path() {
        "/once" => reply.respond(200, "text/plain", &[("X-Once", "yes")], asked.body).unwrap(),
        "/later" => drop(std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            reply.respond(200, "text/plain", &[], b"later").unwrap();
        })),
        "/forgotten" => drop(reply),
        "/grow" => {
            let growing = reply.grow("text/plain", Instant::now() + PATIENCE, left);
            std::thread::spawn(move || assert!(growing.send(b"a") && growing.send(b"bcd")));
        }
        "/grow-for-a-while" => grow_until_left(reply, Duration::from_millis(100)),
        "/grow-for-ever" => grow_until_left(reply, 10 * PATIENCE),
        _ => return Some(reply),
    }
    None
}

/// How many answers that grow have found nobody any more who takes them.
static LEFT: AtomicUsize = AtomicUsize::new(0);

fn left() {
    LEFT.fetch_add(1, Ordering::Relaxed);
}

fn grow_until_left(reply: Reply, time: Duration) {
    let growing = reply.grow("text/plain", Instant::now() + time, left);
    std::thread::spawn(move || {
        while growing.send(b"more") {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

#[test]
fn an_answer_may_grow() {
    let bed = bed_at_once();
    let metrics = bed.serving.metrics();
    let mut stream = bed.connect();
    // It keeps its place, and the connection goes on behind it.
    for path in ["/slow", "/grow", "/later"] {
        stream.write_all(get(path).as_bytes()).unwrap();
    }
    assert_eq!(answer(&mut stream).1, "slow");
    let grown = read_until(&mut stream, "\r\n0\r\n\r\n");
    assert!(grown.contains("\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n3\r\nbcd\r\n"), "{grown}");
    assert_eq!(answer(&mut stream).1, "later");
    // It ends when its time is over, when its client leaves, and with the server; its sender hears of each.
    stream.write_all(get("/grow-for-a-while").as_bytes()).unwrap();
    assert!(read_until(&mut stream, "\r\n0\r\n\r\n").contains("\r\n4\r\nmore\r\n"));
    stream.write_all(get("/grow-for-ever").as_bytes()).unwrap();
    read_until(&mut stream, "\r\n4\r\nmore\r\n");
    drop(stream);
    eventually("the senders know", || LEFT.load(Ordering::Relaxed) == 3);
    eventually("nothing is left", || {
        metrics.connections_open.load(Ordering::Relaxed) + metrics.streams_open.load(Ordering::Relaxed) == 0
    });
    let mut stream = bed.connect();
    stream.write_all(get("/grow-for-ever").as_bytes()).unwrap();
    read_until(&mut stream, "\r\n4\r\nmore\r\n");
    assert!(bed.serving.stop(PATIENCE));
    let last = rest(&mut stream);
    assert!(last.ends_with("0\r\n\r\n"), "{last}");
}

fn bed_at_once() -> Bed {
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), at_once: Some(Arc::new(at_once)), ..Config::default() };
    let world = World::default();
    let serving = serve(config, Arc::new(move |exchange| world.handle(exchange))).unwrap();
    Bed { serving, world: Arc::default() }
}

#[test]
fn what_is_answered_at_once_keeps_its_place_among_the_rest() {
    let bed = bed_at_once();
    let post = |path: &str, body: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let large = "x".repeat(20_000);
    let requests = [
        get("/slow"),
        post("/once", "abc"),
        get("/later"),
        post("/echo", "def"),
        post("/once", ""),
        // Too large to be gathered, so it gets a thread.
        post("/once", &large),
        get("/forgotten"),
        post("/once", "ghi"),
    ];
    let mut stream = bed.connect();
    stream.write_all(requests.concat().as_bytes()).unwrap();
    let answers: Vec<(String, String)> = requests.iter().map(|_| answer(&mut stream)).collect();
    let bodies: Vec<&str> = answers.iter().map(|(_, body)| body.as_str()).collect();
    let forgotten = bodies[6];
    assert_eq!(bodies, ["slow", "abc", "later", "def", "", "hello", forgotten, "ghi"]);
    assert!(answers[6].0.starts_with("HTTP/1.1 500 ") && forgotten.contains("without an answer"), "{forgotten}");
    assert!(answers[1].0.contains("\r\nX-Once: yes\r\n") && !answers[1].0.contains("Connection"), "{}", answers[1].0);
    assert_eq!(bed.serving.metrics().requests.load(Ordering::Relaxed), requests.len() as u64);
    // Also byte by byte, with a body that was announced, and at the end of a connection.
    for byte in post("/once", "bytes").as_bytes() {
        stream.write_all(&[*byte]).unwrap();
    }
    assert_eq!(answer(&mut stream).1, "bytes");
    stream
        .write_all(b"POST /once HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        .unwrap();
    assert_eq!(read_until(&mut stream, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    assert_eq!(answer(&mut stream).1, "ok");
    stream.write_all(b"HEAD /later HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let last = rest(&mut stream);
    assert!(last.contains("\r\nConnection: close\r\n"), "{last}");
    assert!(last.ends_with("\r\n\r\n"), "{last}");
}

#[test]
fn an_answer_for_a_client_that_left_reaches_nobody_else() {
    let bed = bed_at_once();
    for _ in 0..20 {
        let mut stream = bed.connect();
        stream.write_all(get("/later").as_bytes()).unwrap();
        drop(stream);
        let mut next = bed.connect();
        next.write_all(get("/once").as_bytes()).unwrap();
        assert_eq!(answer(&mut next).1, "");
        next.write_all(get("/slow").as_bytes()).unwrap();
        assert_eq!(answer(&mut next).1, "slow");
    }
    eventually("all are gone", || bed.serving.metrics().connections_open.load(Ordering::Relaxed) == 0);
}

#[test]
fn a_promised_answer_is_waited_for_when_the_server_stops() {
    let bed = bed_at_once();
    let mut stream = bed.connect();
    stream.write_all(get("/later").as_bytes()).unwrap();
    eventually("it is taken up", || bed.serving.metrics().bytes_in.load(Ordering::Relaxed) > 0);
    assert!(bed.serving.stop(PATIENCE));
    assert!(rest(&mut stream).ends_with("later"));
}

#[test]
fn hands_over_upgrades() {
    let echo = |mut upgrade: Upgrade| {
        assert_eq!((upgrade.head.target(), upgrade.head.upgrade()), ("/exec", Some("websocket")));
        upgrade.stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
        upgrade.stream.write_all(&upgrade.early).unwrap();
        let mut from = upgrade.stream.try_clone().unwrap();
        std::io::copy(&mut from, &mut upgrade.stream).unwrap();
    };
    let config = Config { listen: ([127, 0, 0, 1], 0).into(), upgrade: Some(Arc::new(echo)), ..Config::default() };
    let world = World::default();
    let bed = Bed {
        serving: serve(config, Arc::new(move |exchange| world.handle(exchange))).unwrap(),
        world: Arc::default(),
    };
    let open = || bed.serving.metrics().connections_open.load(Ordering::Relaxed);
    let request = |protocol, more| {
        format!("GET /exec HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{more}\r\n")
    };
    let mut stream = bed.connect();
    stream.write_all((request("websocket", "") + "early ").as_bytes()).unwrap();
    read_until(&mut stream, "\r\n\r\n");
    stream.write_all(b"and late").unwrap();
    assert_eq!(read_until(&mut stream, "late"), "early and late");
    assert_eq!(open(), 1);
    drop(stream);
    eventually("it is counted out", || open() == 0);
    bed.check_refused(request("websocket", "Origin: http://evil.example\r\n"), Refusal::ForeignOrigin);
    let mut stream = bed.connect();
    stream.write_all(request("h2c", "").as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).1, "hello");
}

#[test]
fn upgrades_are_bounded_and_end_with_the_server() {
    let until_it_ends = |mut upgrade: Upgrade| {
        upgrade.stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
        assert_eq!(upgrade.stream.read(&mut [0]).unwrap(), 0);
    };
    let limits = Limits { upgrades: 1, ..Limits::default() };
    let listen = ([127, 0, 0, 1], 0).into();
    let config = Config { listen, limits, upgrade: Some(Arc::new(until_it_ends)), ..Config::default() };
    let world = World::default();
    let serving = serve(config, Arc::new(move |exchange| world.handle(exchange))).unwrap();
    let bed = Bed { serving, world: Arc::default() };
    let request = "GET /exec HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut first = bed.connect();
    first.write_all(request.as_bytes()).unwrap();
    read_until(&mut first, "\r\n\r\n");
    bed.check_refused(request, Refusal::Unavailable);
    drop(first);
    let mut second = None;
    eventually("there is room again", || {
        let mut stream = bed.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let upgraded = read_until(&mut stream, "\r\n\r\n").contains("101");
        second = upgraded.then_some(stream);
        upgraded
    });
    assert!(bed.serving.stop(PATIENCE));
    assert_eq!(rest(&mut second.unwrap()), "");
}

#[test]
fn stops_gracefully() {
    let Bed { serving, world } = bed();
    let address = serving.local_addr();
    let connect = || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let (mut idle, mut slow, mut watch) = (connect(), connect(), connect());
    watch.write_all(get("/watch").as_bytes()).unwrap();
    read_until(&mut watch, "\r\n\r\n");
    slow.write_all(get("/slow").as_bytes()).unwrap();
    eventually("both run", || serving.metrics().requests.load(Ordering::Relaxed) == 2);
    let metrics = serving.metrics().clone();
    let stopper = std::thread::spawn(move || serving.stop(PATIENCE));
    assert!(rest(&mut slow).ends_with("slow"));
    assert_eq!(rest(&mut watch), "0\r\n\r\n");
    assert_eq!(rest(&mut idle), "");
    drop((idle, slow, watch));
    assert!(stopper.join().unwrap());
    assert_eq!(world.departed.load(Ordering::SeqCst), 1);
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    eventually("the workers end", || metrics.workers.load(Ordering::Relaxed) == 0);
}

#[test]
fn curl_is_content() {
    let bed = bed();
    let url = |path: &str| format!("http://{}{path}", bed.address());
    let curl = |arguments: &[&str]| {
        let output = std::process::Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments).output();
        let output = match output {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("skipped: no curl");
                return None;
            }
            other => other.unwrap(),
        };
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let check = |arguments: &[&str], want: &str| {
        if let Some(got) = curl(arguments) {
            assert_eq!(got, want, "{arguments:?}");
        }
    };
    check(&[&url("/")], "hello");
    check(&["--http1.0", &url("/three")], "onetwothree");
    check(&["--http2", &url("/")], "hello");
    check(&["-d", "{\"a\":1}", &url("/echo")], "{\"a\":1}");
    check(&["-H", "Transfer-Encoding: chunked", "-d", "abc", &url("/echo")], "abc");
    check(&[&url("/"), &url("/three"), &url("/")], "helloonetwothreehello");
    let code = "%{http_code}";
    check(&["-o", "/dev/null", "-w", code, "-H", "Origin: http://evil.example", &url("/")], "403");
    check(&["-o", "/dev/null", "-w", code, "-I", &url("/")], "200");
    let large = std::env::temp_dir().join(format!("miniku-http-front-{}", std::process::id()));
    std::fs::write(&large, vec![b'x'; 4 << 20]).unwrap();
    check(&["-o", "/dev/null", "-w", code, "--data-binary", &format!("@{}", large.display()), &url("/echo")], "413");
    std::fs::remove_file(&large).unwrap();
}
