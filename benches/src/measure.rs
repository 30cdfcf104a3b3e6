//! The timing loop: warm up, take several samples, tell the median with its spread.

use crate::alloc;
use crate::table::Row;
use std::time::{Duration, Instant};

/// How many samples are taken.
const SAMPLES: usize = 9;
/// How long one sample should take.
const SAMPLE: Duration = Duration::from_millis(40);

/// A median and its spread.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Half of the samples are below.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of some samples; there must be one.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let last = samples.len() - 1;
        Spread { median: samples[samples.len() / 2], min: samples[0], max: samples[last] }
    }
}

/// Measures what `times(n)` takes to do something `n` times; it tells the time itself, and may leave out preparations.
pub fn measure(name: &str, go_ns: Option<f64>, mut times: impl FnMut(u64) -> Duration) -> Row {
    // Warm up, and find out how many fill a sample.
    let mut count = 1;
    let each = loop {
        let took = times(count);
        if took >= SAMPLE / 4 || count >= 1 << 24 {
            break took.as_secs_f64() / count as f64;
        }
        count *= 2;
    };
    let count = ((SAMPLE.as_secs_f64() / each.max(1e-9)) as u64).clamp(1, 1 << 26);
    let samples = (0..SAMPLES).map(|_| times(count).as_nanos() as f64 / count as f64).collect();
    // Counted apart, since counting takes time. What is prepared is counted with it.
    let counted = count.min(10_000);
    let (bytes, allocations) = alloc::counted(|| {
        times(counted);
    });
    let row = Row {
        name: name.into(),
        ns: Spread::of(samples),
        bytes: bytes / counted,
        allocations: allocations / counted,
        go_ns,
    };
    eprintln!("{row}");
    row
}

/// Measures something that needs no preparation.
pub fn measure_each<T>(name: &str, go_ns: Option<f64>, mut run: impl FnMut() -> T) -> Row {
    measure(name, go_ns, |count| {
        let began = Instant::now();
        for _ in 0..count {
            std::hint::black_box(run());
        }
        began.elapsed()
    })
}

/// Measures something that threads do at once, as many as there are processors. Time is counted per run of any of
/// them, as Go's `RunParallel` counts it.
pub fn measure_parallel(name: &str, go_ns: Option<f64>, run: impl Fn(u64) + Sync) -> Row {
    let threads = std::thread::available_parallelism().map_or(2, |count| count.get()) as u64;
    measure(name, go_ns, |count| {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let run = &run;
                scope.spawn(move || (thread..count).step_by(threads as usize).for_each(run));
            }
        });
        began.elapsed()
    })
}

/// Times by rank: `at(0.5)` is the median.
pub struct Times(Vec<Duration>);

impl Times {
    /// Of some times; there must be one.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Times(times)
    }

    /// The time that this share of all is not above.
    pub fn at(&self, share: f64) -> Duration {
        let last = self.0.len() - 1;
        self.0[((last as f64 * share).round() as usize).min(last)]
    }

    /// `p50 (min–max)` of times that are long.
    pub fn seconds(&self) -> String {
        let secs = |share: f64| crate::table::figure(self.at(share).as_secs_f64());
        format!("{} s ({}–{})", secs(0.5), secs(0.0), secs(1.0))
    }

    /// `p50 (min–max)`, and p99 where there are enough for one.
    pub fn ms(&self) -> (String, String) {
        let ms = |share: f64| crate::table::figure(self.at(share).as_secs_f64() * 1e3);
        let p99 = if self.0.len() >= 100 { format!("{} ms", ms(0.99)) } else { "".into() };
        (format!("{} ms ({}–{})", ms(0.5), ms(0.0), ms(1.0)), p99)
    }
}
