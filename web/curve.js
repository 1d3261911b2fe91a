// curve.js - a run's loss by its steps, as an SVG with its scale at the sides.
const drawing = "http://www.w3.org/2000/svg";
const height = 220, left = 52, right = 8, top = 10, below = 26;

function svg(name, attributes, ...children) {
	const made = document.createElementNS(drawing, name);
	for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
	made.append(...children);
	return made;
}

// points: [[step, loss], …], two at least.
export function curve(points, width) {
	const losses = points.map((p) => p[1]), steps = points.at(-1)[0];
	const least = Math.min(...losses), most = Math.max(...losses), spread = most - least || most || 1;
	const x = (step) => left + ((width - left - right) * step) / steps;
	const y = (loss) => top + (height - below - top) * (1 - (loss - least) / spread);
	const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img",
		"aria-label": `Loss: from ${losses[0].toPrecision(3)} to ${losses.at(-1).toPrecision(3)} in ${steps} steps` });
	for (const share of [0, 0.5, 1]) {
		const loss = least + share * spread;
		picture.append(svg("line", { x1: left, x2: width - right, y1: y(loss), y2: y(loss) }),
			svg("text", { x: left - 8, y: y(loss) + 4, "text-anchor": "end" }, loss.toPrecision(3)));
	}
	for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]])
		picture.append(svg("text", { x: x(share * steps), y: height - 4, "text-anchor": anchor }, Math.round(share * steps)));
	picture.append(svg("polyline", { points: points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ") }));
	return picture;
}
