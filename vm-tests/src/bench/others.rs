//! The same loads by other people's programs, for those who doubt ours: wrk over TLS, and iperf3.

mod iperf3;
mod wrk;

use std::path::Path;

use anyhow::Context as _;

use super::{
    contender::Contender,
    figure::{Figure, What},
    load::Direction,
    loader::Loader,
    needs::Needs,
    report::Run,
    site::Site,
    workload::Workload,
};

const WRK: Needs = Needs { program: "wrk", also: None, packages: "wrk" };
const IPERF3: Needs = Needs { program: "iperf3", also: None, packages: "iperf3" };

/// What cannot take part, and what to do about it.
pub(crate) fn missing() -> Vec<String> {
    let all = [WRK, IPERF3].into_iter();
    all.filter_map(|needs| Some(format!("{}: {}", needs.program, needs.missing()?))).collect()
}

/// Requests over TLS, of the generator's own servers.
pub(crate) async fn requests(loader: &Loader) -> anyhow::Result<Vec<(Figure, f64)>> {
    if WRK.missing().is_some() {
        return Ok(Vec::new());
    }
    let said = loader.others(WRK.program, wrk::arguments(loader.target())).await?;
    let measured = wrk::parse(&said).with_context(|| format!("wrk said: {said}"))?;
    let figure = |(what, value)| (Figure { workload: Workload::Wrk, what }, value);
    Ok(measured.map(figure).into())
}

/// Bulk, in a lab of its own: all connections of a test must come to one server.
pub(crate) async fn bulk(contender: Contender, agent: &Path, load: &Path) -> anyhow::Result<Run> {
    let mut run = Run::default();
    if IPERF3.missing().is_some() {
        return Ok(run);
    }
    let site = Site::with_one(IPERF3.program, iperf3::server(), contender.wires()).await;
    let site = site.context("building the lab")?;
    let _running = contender.start(&site, agent).await?;
    let loader = Loader::new(site.client(), load, &contender.targets(site.backends()));
    for direction in [Direction::Down, Direction::Up] {
        let rate = iperf3::measure(&loader, direction).await?;
        run.add(Workload::Iperf3 { direction }, What::Rate, rate);
    }
    Ok(run)
}
