//! The graph as a drawing: one file without scripts and requests, light or dark as the reader's.

use std::fmt::Write;

use super::layout::{self, Layout, Point, Size};
use super::{Node, Picture, Shape};

/// What a letter of the name takes; `textLength` holds every font to it.
const LETTER: f64 = 7.5;
/// A letter of the line below.
const SMALL_LETTER: f64 = 6.0;
/// Left and right of a label: a source's round ends take that much.
const PADDING: f64 = 18.0;
const HEIGHT: f64 = 44.0;

const STYLE: &str = "\
    svg{color-scheme:light dark;--ink:#1f2328;--dim:#59636e;--box:#ffffff;--paper:#f6f8fa}\
    @media(prefers-color-scheme:dark){svg{--ink:#e6edf3;--dim:#9198a1;--box:#151b23;--paper:#0d1117}}\
    .paper{fill:var(--paper)}.box{fill:var(--box);stroke:var(--ink);stroke-width:1.2}\
    .line{fill:none;stroke:var(--dim);stroke-width:1.2}.head{fill:var(--dim)}\
    text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;text-anchor:middle}\
    .name{font-size:12.5px;fill:var(--ink)}.kind{font-size:10px;fill:var(--dim)}";

pub(super) fn render(picture: &Picture, title: &str) -> String {
    let sizes: Vec<Size> = (0..picture.nodes.len()).map(|node| size(picture, node)).collect();
    let edges: Vec<(usize, usize)> = picture.edges.iter().map(|it| (it.from, it.to)).collect();
    let drawn = layout::layout(&sizes, &edges);
    let Size { width, height } = drawn.size;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path class=\"head\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n",
        escape(title)
    );
    lines(&mut svg, picture, &drawn);
    for (node, (corner, size)) in drawn.corners.iter().zip(&sizes).enumerate() {
        boxed(&mut svg, &picture.nodes[node], &kind(picture, node), *corner, *size);
    }
    svg + "</svg>\n"
}

fn kind(picture: &Picture, node: usize) -> String {
    let itself = if picture.reads_itself(node) { ", reads itself" } else { "" };
    format!("{}{itself}", picture.nodes[node].kind)
}

fn size(picture: &Picture, node: usize) -> Size {
    let name = picture.nodes[node].name.as_str().len() as f64 * LETTER;
    let kind = kind(picture, node).len() as f64 * SMALL_LETTER;
    Size { width: name.max(kind) + 2.0 * PADDING, height: HEIGHT }
}

fn lines(svg: &mut String, picture: &Picture, drawn: &Layout) {
    for line in &drawn.lines {
        let points: Vec<String> =
            line.points.iter().map(|point| format!("{},{}", point.x, point.y)).collect();
        let edge = picture.edges.iter().find(|it| (it.from, it.to) == (line.from, line.to));
        let mapping = edge.map(|edge| edge.how.as_str()).filter(|mapping| !mapping.is_empty());
        let mapping = mapping.map(|it| format!(": {}", escape(it))).unwrap_or_default();
        let [from, to] = [line.from, line.to].map(|it| &picture.nodes[it].name);
        let _ = writeln!(
            svg,
            "<polyline class=\"line\" marker-end=\"url(#head)\" points=\"{}\"><title>{from} to {to}\
             {mapping}</title></polyline>",
            points.join(" ")
        );
    }
}

fn boxed(svg: &mut String, node: &Node, kind: &str, corner: Point, size: Size) {
    let (Point { x, y }, Size { width, height }) = (corner, size);
    let round = match node.shape {
        Shape::Source => height / 2.0,
        Shape::Asset => 3.0,
    };
    let about = match node.description.as_str() {
        "" => node.name.clone(),
        description => format!("{}: {}", node.name, escape(description)),
    };
    let middle = x + width / 2.0;
    let name = node.name.as_str();
    let _ = writeln!(
        svg,
        "<g><title>{about}</title><rect class=\"box\" x=\"{x}\" y=\"{y}\" width=\"{width}\" \
         height=\"{height}\" rx=\"{round}\"/><text class=\"name\" x=\"{middle}\" y=\"{}\" \
         textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\">{name}</text><text class=\"kind\" \
         x=\"{middle}\" y=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\">{kind}</text></g>",
        y + 19.0,
        name.len() as f64 * LETTER,
        y + 34.0,
        kind.len() as f64 * SMALL_LETTER,
    );
}

/// Text for between tags. Characters that no XML may hold are left out.
fn escape(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            '\n' | '\t' => safe.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn labels_fit_and_texts_stay_texts() {
        let picture = sample();
        let svg = render(&picture, "a <project>");
        assert_eq!(svg, render(&picture, "a <project>"));
        assert!(svg.contains("<title>a &lt;project&gt;</title>"), "{svg}");
        assert!(svg.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{svg}");
        assert!(!svg.contains("<script") && !svg.contains("href") && !svg.contains('\u{1}'));
        for node in 0..picture.nodes.len() {
            let name = picture.nodes[node].name.as_str().len() as f64 * LETTER;
            assert!(size(&picture, node).width >= name + 2.0 * PADDING);
        }
        let count = |what: &str| svg.matches(what).count();
        assert_eq!((count("<rect class=\"box\""), count("<polyline")), (3, 3));
        assert_eq!(count(&format!("rx=\"{}\"", HEIGHT / 2.0)), 1, "one source, one round box");
        let tags = |it: &str| count(&format!("<{it}>")) + count(&format!("<{it} "));
        for tag in ["svg", "g", "title", "text", "polyline", "defs", "marker", "style"] {
            assert_eq!(tags(tag), count(&format!("</{tag}>")), "{tag}");
        }
    }
}
