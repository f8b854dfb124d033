//! What is added to the time of a transaction when the machine is not busy: a fixed rate is offered.

use howdah_model::route::Mode;

use crate::Effort;
use crate::bed::Bed;
use crate::pgbench::{Load, Run};
use crate::proxies::{Leg, Tls, Who};
use crate::report::{head, line, millis, number};
use crate::throughput::rounds;

const RATE: u32 = 5000;
const CLIENTS: usize = 16;

pub(crate) async fn measure(bed: &Bed, effort: Effort) -> anyhow::Result<()> {
    println!(
        "\n### Added latency\n\n{RATE} transactions per second are offered by {CLIENTS} clients.\n"
    );
    let mut everybody = vec![Who::Direct(Leg::Tcp), Who::Forwarder, Who::Haproxy];
    for mode in [Mode::Session, Mode::Transaction] {
        everybody.push(Who::PgBouncer { mode, leg: Leg::Unix });
        everybody.push(Who::Ours { mode, threads: 1 });
    }
    let proxies = Who::start_all(bed, &everybody, Tls::Without).await;
    let direct = proxies.iter().position(|proxy| proxy.who == Who::Direct(Leg::Tcp));
    for protocol in ["simple", "prepared"] {
        let load = Load { clients: CLIENTS, protocol, rate: Some(RATE), span: effort.span };
        let rounds = rounds(bed, &proxies, load, effort).await;
        head(&[protocol, "p50 ms", "p99 ms", "added p50 ms", "added p99 ms", "added average ms"]);
        for (number_of, proxy) in proxies.iter().enumerate() {
            let added =
                |value: fn(&Run) -> f64| number(rounds.difference(number_of, direct, value), 3);
            line(&[
                proxy.who.name(),
                number(rounds.median(number_of, |run| millis(run.p50)), 3),
                number(rounds.median(number_of, |run| millis(run.p99)), 3),
                added(|run| millis(run.p50)),
                added(|run| millis(run.p99)),
                added(|run| millis(run.average)),
            ]);
        }
        println!();
    }
    Ok(())
}
