//! One sheet of panels, as SVG.

use std::{error::Error, path::Path};

use anyhow::anyhow;
use plotters::{
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea as _},
    element::{PathElement, Rectangle},
    prelude::{
        ChartBuilder, Color as _, DrawingBackend, IntoSegmentedCoord as _, RGBColor, SVGBackend,
        SegmentValue,
    },
    style::{BLACK, ShapeStyle, WHITE},
};

use super::Summary;

pub(super) struct Panel {
    pub title: String,
    pub scale: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

pub(super) struct Bar {
    pub name: String,
    pub summary: Summary,
}

const WIDTH: u32 = 560;
const BAR: u32 = 24;
/// Title, axis and what is written below it.
const AROUND: u32 = 110;
const COLUMNS: usize = 2;
const FONT: &str = "sans-serif";
const BLUE: RGBColor = RGBColor(70, 120, 180);

/// Nothing where there is nothing to see.
pub(super) fn draw(file: &Path, panels: &[Panel]) -> anyhow::Result<()> {
    let Some(most) = panels.iter().map(|panel| panel.bars.len()).max() else { return Ok(()) };
    let (columns, rows) = (COLUMNS.min(panels.len()), panels.len().div_ceil(COLUMNS));
    let height = AROUND + BAR * u32::try_from(most)?;
    let size = (WIDTH * u32::try_from(columns)?, height * u32::try_from(rows)?);
    let drawn = || -> Result<(), Box<dyn Error>> {
        let sheet = SVGBackend::new(file, size).into_drawing_area();
        sheet.fill(&WHITE)?;
        for (area, panel) in sheet.split_evenly((rows, columns)).iter().zip(panels) {
            bars(area, panel)?;
        }
        sheet.present()?;
        Ok(())
    };
    drawn().map_err(|error| anyhow!("drawing {}: {error}", file.display()))
}

fn bars<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    panel: &Panel,
) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let largest = panel.bars.iter().map(|bar| bar.summary.max).fold(0.0, f64::max);
    let smallest = panel.bars.iter().map(|bar| bar.summary.min).fold(0.0, f64::min);
    let end = if largest > 0.0 { largest * 1.05 } else { 1.0 };
    let names = panel.bars.iter().map(|bar| bar.name.len()).max().unwrap_or_default();
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 17))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(46)
        .y_label_area_size(24 + 7 * u32::try_from(names)?)
        .build_cartesian_2d(smallest * 1.05..end, (0..panel.bars.len()).into_segmented())?;
    let name = |at: &SegmentValue<usize>| match at {
        SegmentValue::CenterOf(at) => panel.bars.iter().nth_back(*at).map(|bar| bar.name.clone()),
        SegmentValue::Exact(_) | SegmentValue::Last => None,
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(WHITE)
        .y_labels(panel.bars.len() + 1)
        .y_label_formatter(&|at| name(at).unwrap_or_default())
        .x_labels(6)
        .x_label_formatter(&|value| tick(*value))
        .x_desc(&panel.scale)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 13))
        .draw()?;
    // The axis counts from the bottom.
    for (at, Bar { summary, .. }) in panel.bars.iter().rev().enumerate() {
        let corners =
            [(0.0, SegmentValue::Exact(at)), (summary.median, SegmentValue::Exact(at + 1))];
        let mut bar = Rectangle::new(corners, BLUE.filled());
        bar.set_margin(4, 4, 0, 0);
        let spread = [summary.min, summary.max].map(|end| (end, SegmentValue::CenterOf(at)));
        let line = PathElement::new(spread.to_vec(), ShapeStyle::from(&BLACK).stroke_width(2));
        chart.plotting_area().draw(&bar)?;
        chart.plotting_area().draw(&line)?;
    }
    Ok(())
}

/// As short as it can be said.
fn tick(value: f64) -> String {
    format!("{value:.3}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_panel_names_its_bars_and_its_scale() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("bars.svg");
        let bar = |name: &str, values: &[f64]| {
            let summary = Summary::of(values).expect("values");
            Bar { name: name.to_owned(), summary }
        };
        let bars = vec![bar("plain", &[9.0, 10.0]), bar("haproxy", &[4.0, 5.0, 7.0])];
        let panel = Panel { title: "bulk".into(), scale: "rate, Gbit/s".into(), bars };
        draw(&file, &[panel]).expect("a drawing");
        let svg = fs::read_to_string(&file).expect("a file");
        for text in ["bulk", "plain", "haproxy", "rate, Gbit/s"] {
            assert!(svg.contains(text), "{text}: not in {svg}");
        }
    }

    #[test]
    fn a_tick_has_no_digits_that_say_nothing() {
        assert_eq!([200.0, 0.1 + 0.2, 0.0, 1_500.5].map(tick), ["200", "0.3", "0", "1500.5"]);
    }
}
