//! Serves `/j` (10 KB), `/stream` (a line a second, with the front only) and "hello" for a load generator:
//! `cargo run --release --example http_rate -- front 8080`, or `plain`.

use std::sync::Arc;

use miniku::http::{Config, serve};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let (kind, port) = match &arguments[..] {
        [_, kind, port] => (kind.as_str(), port.parse().map_err(std::io::Error::other)?),
        _ => return Err(std::io::Error::other("usage: http_rate front|plain PORT")),
    };
    let long = "x".repeat(10 << 10);
    let body = move |path: &str| if path == "/j" { long.clone() } else { "hello".to_string() };
    if kind == "front" {
        miniku::http::raise_open_files()?;
        let config = Config { listen: ([127, 0, 0, 1], port).into(), ..Config::default() };
        let handler = Arc::new(move |exchange: miniku::http::Exchange| {
            if exchange.path() == "/stream" {
                return stream(exchange);
            }
            let body = body(exchange.path());
            // An error means that the client is gone.
            let _ = exchange.respond(200, "text/plain", &[], body.as_bytes());
        });
        let _serving = serve(config, handler)?;
        loop {
            std::thread::park();
        }
    }
    let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
    nix::sys::socket::setsockopt(&listener, nix::sys::socket::sockopt::TcpNoDelay, &true)?;
    let server = tiny_http::Server::from_listener(listener, None).map_err(std::io::Error::other)?;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Ok(request) = server.recv() {
                    let body = body(request.url());
                    // An error means that the client is gone.
                    let _ = request.respond(tiny_http::Response::from_string(body));
                }
            });
        }
    });
    Ok(())
}

fn stream(exchange: miniku::http::Exchange) {
    let Ok(mut stream) = exchange.stream(200, "text/plain", &[]) else { return };
    let departure = stream.client().departure();
    let ticks = crossbeam_channel::tick(std::time::Duration::from_secs(1));
    loop {
        crossbeam_channel::select! {
            recv(departure) -> _ => return,
            recv(ticks) -> _ => if stream.send(b"tick\n").is_err() { return },
        }
    }
}
