//! As many select-only transactions as there can be: processor time of each, and how many.

use std::time::Duration;

use howdah_model::route::Mode;

use crate::Effort;
use crate::bed::Bed;
use crate::pgbench::{self, Load, Run};
use crate::proxies::{Leg, Proxy, Tls, Who};
use crate::report::{Rounds, head, line, median, micros, millis, number, turns};

const PROTOCOLS: [&str; 2] = ["simple", "prepared"];
const CLIENTS: [usize; 3] = [1, 64, 256];

fn everybody() -> Vec<Who> {
    let mut everybody = vec![
        Who::Direct(Leg::Tcp),
        Who::Direct(Leg::Unix),
        Who::Forwarder,
        Who::Haproxy,
        Who::PgBouncer { mode: Mode::Session, leg: Leg::Tcp },
    ];
    for mode in [Mode::Session, Mode::Transaction] {
        everybody.push(Who::PgBouncer { mode, leg: Leg::Unix });
        everybody.push(Who::Ours { mode, threads: 1 });
    }
    let mode = Mode::Transaction;
    everybody.extend([Who::PgCat { mode }, Who::PgDog { mode }, Who::Odyssey { mode }]);
    everybody
}

/// Whom somebody is compared with: PgBouncer in the same mode, with the same leg to the server.
pub(crate) fn rival(proxies: &[Proxy], of: Who) -> Option<usize> {
    let mode = match of {
        Who::Ours { mode, .. }
        | Who::PgBouncer { mode, .. }
        | Who::PgCat { mode }
        | Who::PgDog { mode }
        | Who::Odyssey { mode } => mode,
        Who::Direct(_) | Who::Forwarder | Who::Haproxy => Mode::Session,
    };
    proxies.iter().position(|proxy| proxy.who == Who::PgBouncer { mode, leg: Leg::Unix })
}

pub(crate) async fn measure(bed: &Bed, effort: Effort) -> anyhow::Result<()> {
    println!("\n### Throughput and processor time\n");
    let proxies = Who::start_all(bed, &everybody(), Tls::Without).await;
    for protocol in PROTOCOLS {
        for clients in CLIENTS {
            println!("Select-only, {protocol}, {clients} clients:\n");
            let load = Load { clients, protocol, rate: None, span: effort.span };
            table(&proxies, &rounds(bed, &proxies, load, effort).await);
        }
    }
    Ok(())
}

/// Everybody under the same load, in turn.
pub(crate) async fn rounds(
    bed: &Bed,
    proxies: &[Proxy],
    load: Load,
    effort: Effort,
) -> Rounds<Run> {
    let lacks = |proxy: &Proxy| load.protocol == "prepared" && proxy.who.lacks_prepared();
    // Whoever opens servers when clients come has them before it counts.
    let warm = Load { rate: None, span: Duration::from_secs(1), ..load };
    for proxy in proxies.iter().filter(|proxy| !lacks(proxy)) {
        if let Err(error) = pgbench::run(bed, proxy, warm).await {
            eprintln!("{error:#}");
        }
    }
    let mut rounds = Rounds::new(proxies.len());
    for round in 0..effort.rounds {
        for turn in turns(proxies.len(), round) {
            let proxy = &proxies[turn];
            if lacks(proxy) {
                rounds.add(turn, None);
                continue;
            }
            match pgbench::run(bed, proxy, load).await {
                Ok(run) => rounds.add(turn, Some(run)),
                Err(error) => {
                    eprintln!("{error:#}");
                    rounds.add(turn, None);
                }
            }
        }
    }
    rounds
}

fn table(proxies: &[Proxy], rounds: &Rounds<Run>) {
    head(&[
        "",
        "proxy µs/txn",
        "of it own code",
        "× PgBouncer",
        "server µs/txn",
        "tps",
        "× PgBouncer",
        "p50 ms",
        "p99 ms",
        "preempted/txn",
    ]);
    for (number_of, proxy) in proxies.iter().enumerate() {
        let rival = rival(proxies, proxy.who);
        let middle = |value: fn(&Run) -> f64| rounds.median(number_of, value);
        let ratio = |value: fn(&Run) -> f64| rounds.ratio(number_of, rival, value);
        let cpu: fn(&Run) -> f64 = |run| micros(run.proxy);
        let of_proxy = |text: String| if proxy.pid.is_some() { text } else { "-".to_owned() };
        line(&[
            proxy.who.name(),
            of_proxy(number(middle(cpu), 2)),
            of_proxy(number(100.0 * middle(|run| run.user_share), 0) + " %"),
            of_proxy(number(ratio(cpu), 2)),
            number(middle(|run| micros(run.server)), 1),
            number(middle(|run| run.tps), 0),
            number(ratio(|run| run.tps), 2),
            number(middle(|run| millis(run.p50)), 3),
            number(middle(|run| millis(run.p99)), 3),
            of_proxy(number(middle(|run| run.preempted), 2)),
        ]);
    }
    let others: Vec<f64> =
        (0..proxies.len()).map(|number| rounds.median(number, |run| run.others)).collect();
    let most = others.iter().copied().fold(0.0, f64::max);
    println!(
        "\nEverybody else on the machine had {:.0} % of a processor meanwhile, {:.0} % at most.\n",
        100.0 * median(others),
        100.0 * most
    );
}
