//! Pictures: bars beside each other, or lines, as SVG. On no background and in middling tones, to
//! be read on a light page and on a dark one.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::{Chart, Row};
use crate::works::Fallible;

const WIDTH: i32 = 860;
const INK: RGBColor = RGBColor(110, 122, 135);
const OURS: RGBColor = RGBColor(218, 98, 40);
const THEIRS: RGBColor = RGBColor(84, 140, 190);

const NAMES: i32 = 190;
const HEAD: i32 = 50;
const ROW: i32 = 21;
const BAR: i32 = 13;
/// Room for a figure beside its bar.
const FIGURE: i32 = 66;

/// Whoever takes more than so many times as much as we is cut off: else nothing else could be seen.
const MOST: f64 = 12.0;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The whole file, with a description in words.
pub fn svg(chart: &Chart) -> Fallible<String> {
    let height = if chart.lines { 420 } else { HEAD + ROW * chart.rows.len() as i32 + 8 };
    let mut text = String::new();
    {
        let size = (WIDTH as u32, height as u32);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let drawn = if chart.lines { draw_lines(chart, &area) } else { draw_bars(chart, &area) };
        drawn.map_err(|why| why.to_string())?;
        area.present().map_err(|why| why.to_string())?;
    }
    let description = format!(">\n<desc>{}</desc>", chart.describe());
    // The first `>` ends the opening tag.
    Ok(text.replacen('>', &description, 1))
}

fn style(size: i32, colour: RGBColor, anchor: HPos) -> TextStyle<'static> {
    let font = ("sans-serif", size).into_font();
    font.color(&colour).pos(Pos::new(anchor, VPos::Center))
}

fn colour(row: &Row) -> RGBColor {
    if row.ours { OURS } else { THEIRS }
}

fn draw_bars(chart: &Chart, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    area.draw_text(&chart.title, &style(16, INK, HPos::Left), (8, 14))?;
    let width = (WIDTH - NAMES) / chart.heads.len() as i32;
    let top = |row: usize| HEAD + ROW * row as i32;
    for (row, contender) in chart.rows.iter().enumerate() {
        let ink = if contender.ours { OURS } else { INK };
        let middle = top(row) + BAR / 2;
        area.draw_text(&contender.name, &style(13, ink, HPos::Right), (NAMES - 8, middle))?;
    }
    for (column, head) in chart.heads.iter().enumerate() {
        let left = NAMES + width * column as i32;
        area.draw_text(head, &style(13, INK, HPos::Left), (left, 36))?;
        let values = |ours: bool| {
            let rows = chart.rows.iter().filter(move |row| row.ours || !ours);
            rows.filter_map(|row| Some(row.figures[column].as_ref()?.0))
        };
        let ours = values(true).reduce(f64::min).unwrap_or(f64::MAX);
        let scale = values(false).filter(|value| *value <= MOST * ours).fold(1e-9, f64::max);
        let longest = width - FIGURE;
        for (row, contender) in chart.rows.iter().enumerate() {
            let (top, style) = (top(row), |anchor| style(12, INK, anchor));
            let middle = top + BAR / 2;
            let Some((value, text)) = &contender.figures[column] else {
                area.draw_text("n/a", &style(HPos::Left), (left + 4, middle))?;
                continue;
            };
            let cut = *value > scale;
            let length = ((value / scale).min(1.0) * f64::from(longest)).round() as i32;
            let bar = |from: i32, to: i32| {
                let corners = [(left + from, top), (left + to.max(from + 1), top + BAR)];
                area.draw(&Rectangle::new(corners, colour(contender).filled()))
            };
            if cut {
                // It goes on.
                bar(0, length - 12)?;
                bar(length - 9, length - 6)?;
                bar(length - 3, length)?;
            } else {
                bar(0, length)?;
            }
            area.draw_text(text, &style(HPos::Left), (left + length + 5, middle))?;
        }
    }
    Ok(())
}

fn draw_lines(chart: &Chart, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let (plot, legend) = area.split_horizontally(WIDTH - NAMES - 40);
    plot.draw_text(&chart.title, &style(16, INK, HPos::Left), (8, 14))?;
    let places: Vec<f64> =
        chart.heads.iter().map(|head| head.replace(',', "").parse()).collect::<Result<_, _>>()?;
    let (first, last) = (places[0], places[places.len() - 1]);
    let values = || chart.rows.iter().flat_map(|row| row.figures.iter().flatten().map(|f| f.0));
    let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(1.0, f64::max));
    let mut plane = ChartBuilder::on(&plot)
        .margin_top(34)
        .margin_right(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d((first..last).log_scale(), (least * 0.8..most * 1.3).log_scale())?;
    let label = style(12, INK, HPos::Center);
    plane
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.25))
        .axis_style(INK)
        .label_style(label.clone())
        .axis_desc_style(label)
        .x_labels(places.len())
        .x_label_formatter(&|tasks| crate::report::whole(*tasks))
        .y_label_formatter(&|nanos| crate::report::Unit::Nanos.show(*nanos))
        .x_desc("tasks")
        .draw()?;
    // The legend in the order in which the lines end.
    let end = |row: &Row| row.figures.iter().rev().flatten().next().map_or(0.0, |figure| figure.0);
    let mut rows: Vec<&Row> = chart.rows.iter().collect();
    rows.sort_by(|a, b| end(b).total_cmp(&end(a)));
    for (place, row) in rows.iter().enumerate() {
        let hue = place as f64 / rows.len() as f64;
        let (line, width) = if row.ours {
            (OURS.to_rgba(), 4)
        } else {
            (HSLColor(0.12 + hue * 0.76, 0.45, 0.55).to_rgba(), 2)
        };
        let points = places.iter().zip(&row.figures);
        let points: Vec<(f64, f64)> =
            points.filter_map(|(place, figure)| Some((*place, figure.as_ref()?.0))).collect();
        plane.draw_series(LineSeries::new(points.clone(), line.stroke_width(width)))?;
        plane.draw_series(points.into_iter().map(|point| Circle::new(point, 3, line.filled())))?;
        let middle = 44 + 24 * place as i32;
        let stroke = line.stroke_width(width);
        legend.draw(&PathElement::new(vec![(4, middle), (26, middle)], stroke))?;
        let ink = if row.ours { OURS } else { INK };
        legend.draw_text(&row.name, &style(13, ink, HPos::Left), (34, middle))?;
    }
    Ok(())
}
