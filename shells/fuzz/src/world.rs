//! A whole server in this process, asked over HTTP: bytes, a typed request, a step of the API server, an answer.
//!
//! Each input has a server of its own that holds the same few objects, behind one front. It is in a network of its own,
//! so that nothing outside hears of it if an input makes a node and asks for its logs.

use miniku::api::{Access, Api};
use miniku::clock::Clock;
use miniku::engine::memory::Memory;
use miniku::engine::{Engine, Write as Stored};
use miniku::host::ApiHost;
use miniku::http::{self, Config, Serving};
use miniku_core::api::kinds::Kind;
use miniku_core::api::object::{Key, Object};
use miniku_core::apiserver::Options;
use miniku_core::program::{Query, Revision};
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// What stands between two requests of one input.
const BETWEEN: &[u8] = b"\n%%\n";
/// No input asks for more.
const REQUESTS_MAX: usize = 6;

/// Requests one after the other, each as a line `METHOD TARGET [CONTENT-TYPE [ACCEPT]]` and its body.
pub fn requests(data: &[u8]) {
    let world = &mut *WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    let host = world.anew();
    let mut rest = data;
    for _ in 0..REQUESTS_MAX {
        let end = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN);
        let (one, more) = end.map_or((rest, None), |end| (&rest[..end], Some(&rest[end + BETWEEN.len()..])));
        world.request(&host, one);
        let Some(more) = more else { break };
        rest = more;
    }
    check_store(&host);
}

/// A target of a GET; after a space, what is accepted.
pub fn path(data: &[u8]) {
    let world = &mut *WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    let host = world.anew();
    let mut words = data.splitn(2, |byte| *byte == b' ');
    let (target, accept) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    world.request(&host, &[b"GET ", target, b" - ", accept].concat());
}

struct World {
    /// What the front serves now.
    api: Arc<RwLock<Arc<Api>>>,
    /// What every server begins with.
    stored: Vec<Stored>,
    /// Servers before this one, which may still be writing for themselves.
    before: VecDeque<Arc<ApiHost>>,
    address: SocketAddr,
    stream: Option<TcpStream>,
    _serving: Serving,
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| {
    unshare_network();
    let host = host(Box::new(Memory::default()));
    let api = Arc::new(RwLock::new(api(&host)));
    let (handled, offered) = (api.clone(), api.clone());
    let now = |api: &RwLock<Arc<Api>>| api.read().unwrap_or_else(PoisonError::into_inner).clone();
    let at_once: http::AtOnce = Arc::new(move |asked, reply| now(&offered).at_once(asked, reply));
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config { listen, at_once: Some(at_once), ..Config::default() };
    let serving =
        http::serve(config, Arc::new(move |exchange| now(&handled).handle(exchange))).expect("loopback is up");
    let address = serving.local_addr();
    let mut world =
        World { api, stored: Vec::new(), before: VecDeque::new(), address, stream: None, _serving: serving };
    for one in include_str!("objects.txt").split("\n%%\n") {
        let (code, body) = world.ask(one.as_bytes()).expect("a server answers");
        assert!((200..300).contains(&code), "{one}: {code} {}", String::from_utf8_lossy(&body));
    }
    let stored = all(&host).into_values();
    world.stored =
        stored.map(|one| Stored { key: one.key().to_string(), expect: 0, value: Some(one.json().into()) }).collect();
    Mutex::new(world)
});

fn host(engine: Box<dyn Engine>) -> Arc<ApiHost> {
    ApiHost::start(Clock::start(), Options::with_seed(1), engine, None).expect("what was stored can be read")
}

fn api(host: &Arc<ApiHost>) -> Arc<Api> {
    Api::new(host.clone(), Access::new(false, Default::default(), b"secret".to_vec()))
}

impl World {
    /// A server that nothing was asked of.
    fn anew(&mut self) -> Arc<ApiHost> {
        let mut memory = Memory::default();
        memory.commit(&self.stored);
        let host = host(Box::new(memory));
        *self.api.write().unwrap_or_else(PoisonError::into_inner) = api(&host);
        self.before.push_back(host.clone());
        if self.before.len() > 16 {
            self.before.pop_front();
        }
        host
    }

    /// Asks, and checks the answer.
    fn request(&mut self, host: &Arc<ApiHost>, one: &[u8]) {
        let before = all(host);
        let Some((code, body)) = self.ask(one) else { return };
        let told = || format!("{}: {code} {}", String::from_utf8_lossy(one), String::from_utf8_lossy(&body));
        // Kubernetes, too, answers so to a configuration that is not of its kind, and gives no reason: see k8s.io/apimachinery,
        // `managedfields/internal/structuredmerge.go`.
        let untyped = b"\"message\":\"failed to create typed patch object (";
        let known = code == 500 && body.windows(untyped.len()).any(|some| some == untyped);
        assert!(code < 500 || known, "{}", told());
        let line = one.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let text = body.starts_with(b"{").then(|| serde_json::from_slice::<Value>(&body));
        if let Some(json) = text {
            let json = json.unwrap_or_else(|error| panic!("{error}: {}", told()));
            if code >= 400 && !line.starts_with(b"HEAD ") {
                assert_eq!(json["kind"], "Status", "{}", told());
                assert_eq!(json["code"], code, "{}", told());
            }
        }
        // Many are deleted one after the other, and one of them may be refused.
        if code >= 400 && !line.starts_with(b"DELETE ") {
            let (before, after) = (apart(before), apart(all(host)));
            assert!(before == after, "it was refused and changed something: {}", told());
        }
    }

    /// The code and the body of an answer; nothing if it has no end, or if the request asks for a node.
    fn ask(&mut self, one: &[u8]) -> Option<(u16, Vec<u8>)> {
        let end = one.iter().position(|byte| *byte == b'\n').unwrap_or(one.len());
        let (line, body) = (&one[..end], one.get(end + 1..).unwrap_or_default());
        let mut words = line.split(|byte| *byte == b' ');
        let mut word = || words.next().unwrap_or_default();
        let (method, target, kind, accept) = (word(), word(), word(), word());
        let asks_a_node = [&b"log"[..], b"exec", b"attach", b"portforward"].iter().any(|part| target.ends_with(part));
        if asks_a_node {
            return None;
        }
        let mut text = [method, b" ", target, b" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: fuzz/1\r\n"].concat();
        for (name, value) in [("Content-Type", kind), ("Accept", accept)] {
            if !value.is_empty() && value != b"-" {
                text.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
            }
        }
        write!(text, "Content-Length: {}\r\n\r\n", body.len()).expect("a Vec takes every write");
        text.extend_from_slice(body);
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).expect("the front listens");
                stream.set_nodelay(true).expect("it is TCP");
                stream.set_read_timeout(Some(Duration::from_secs(10))).expect("it is not zero");
                stream
            }
        };
        // A front that has refused the head does not read on.
        let _ = stream.write_all(&text);
        let answer = answer(&mut stream, method == b"HEAD")?;
        if !answer.2 {
            self.stream = Some(stream);
        }
        Some((answer.0, answer.1))
    }
}

/// Code, body, and whether the connection ends with it; nothing if the body is in chunks, since it may go on for ever.
fn answer(stream: &mut TcpStream, head_only: bool) -> Option<(u16, Vec<u8>, bool)> {
    let (mut got, mut some) = (Vec::new(), [0; 16 << 10]);
    loop {
        let end = got.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&got[..end]).to_ascii_lowercase();
            let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let code: u16 = head.get(9..12).and_then(|code| code.parse().ok()).expect("an answer has a code");
            if code == 100 {
                got.drain(..end + 4);
                continue;
            }
            if header("transfer-encoding").is_some() {
                return None;
            }
            let length: usize = header("content-length").map_or(0, |length| length.parse().expect("it is a number"));
            let length = if head_only || code == 204 { 0 } else { length };
            if got.len() >= end + 4 + length {
                return Some((code, got[end + 4..end + 4 + length].to_vec(), header("connection") == Some("close")));
            }
        }
        match stream.read(&mut some) {
            Ok(0) => panic!("the connection ends without an answer: {}", String::from_utf8_lossy(&got)),
            Ok(count) => got.extend_from_slice(&some[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("no answer: {error}: {}", String::from_utf8_lossy(&got)),
        }
    }
}

fn all(host: &ApiHost) -> BTreeMap<Key, Object> {
    host.look(|server| {
        let store = server.store();
        let each = |kind| store.list(&Query::all(kind)).cloned().collect::<Vec<_>>();
        store.kinds().flat_map(each).map(|object| (object.key(), object)).collect()
    })
}

/// The revisions of what the server does not write by itself meanwhile.
fn apart(all: BTreeMap<Key, Object>) -> BTreeMap<Key, Revision> {
    let own = |kind| matches!(kind, Kind::ServiceAccount | Kind::Namespace | Kind::Custom(_));
    all.into_iter().filter(|(key, _)| !own(key.kind)).map(|(key, object)| (key, object.revision())).collect()
}

/// A server that is started on what is stored finds it as it is.
fn check_store(host: &ApiHost) {
    for (key, object) in all(host) {
        assert_eq!(Object::decode(key.kind, &object.json()).as_ref(), Ok(&object), "{key}");
        assert_eq!(key.to_string().parse().as_ref(), Ok(&key));
    }
}

/// Goes into a network in which there is nothing but loopback, before there are threads.
fn unshare_network() {
    let flags = match nix::unistd::geteuid().is_root() {
        true => CloneFlags::CLONE_NEWNET,
        false => CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET,
    };
    unshare(flags).expect("a network of its own: this needs root, or user namespaces");
    // SAFETY: `ifreq` is plain data for which all zeros is valid; the name fits and stays terminated; the descriptor is
    // open until it is closed here, once. See netdevice(7).
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        assert!(socket >= 0, "{}", std::io::Error::last_os_error());
        let mut request: libc::ifreq = std::mem::zeroed();
        (request.ifr_name[0], request.ifr_name[1]) = (b'l' as libc::c_char, b'o' as libc::c_char);
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let done = libc::ioctl(socket, libc::SIOCSIFFLAGS, &request);
        assert!(done == 0, "{}", std::io::Error::last_os_error());
        libc::close(socket);
    }
}
