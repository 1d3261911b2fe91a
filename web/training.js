// training.js - training runs of the server's folder: start, watch, stop. One at a time.
import { $, button, element, options, say, setText } from "./dom.js";
import { ask, imageAddress } from "./server.js";

const main = ["max_train_steps", "learning_rate", "network_dim", "resolution", "instance_prompt", "validation_prompts"];
const names = {
	max_train_steps: "Steps", learning_rate: "Learning rate", network_dim: "Rank", resolution: "Picture size",
	instance_prompt: "Caption of pictures without one", validation_prompts: "Drawn now and then",
};
const hints = { resolution: "the model's", instance_prompt: "a photo of sks dog", validation_prompts: "prompts, with | between them" };
const kinds = { lora: "LoRA", diffusion: "whole model" };
const standing = { running: "training", stopping: "saving a checkpoint", stopped: "stopped; it can go on", failed: "failed", done: "done" };
let sets = [], runs = [], choices = {}, shown = null, timer = 0;
let edited = false; // a run that was stopped goes on with the options that it had

// ── the form ──

function field(option) {
	const { name, help } = option, id = "train-" + name, text = names[name] || name.replaceAll("_", " ");
	if (option.flag)
		return element("label", { className: "check", title: help }, element("input", { type: "checkbox", id, name }), " " + text);
	const input = element("input", { id, name, title: help, placeholder: hints[name] || option.standard });
	if (option.value === "N") input.inputMode = "decimal";
	return element("div", { className: "field" }, element("label", { htmlFor: id, title: help }, text), input);
}

function showFields() {
	const list = choices[$("train-kind").value];
	$("train-main").replaceChildren(...list.filter((o) => main.includes(o.name)).map(field));
	$("train-more").replaceChildren(...list.filter((o) => !main.includes(o.name)).map(field));
	const before = runs.find((r) => r.name === nameOf());
	edited = false;
	if (before) ask("/sumi/training/" + encodeURIComponent(before.name)).then((run) => fill(run.options)).catch(refuse);
}

function fill(values) {
	for (const input of $("train-form").querySelectorAll("[name]")) {
		if (input.type === "checkbox") input.checked = values[input.name] === "true";
		else input.value = values[input.name] ?? "";
	}
}

function refuse(error) {
	setText($("train-problem"), error.message);
}

const nameOf = () => `${$("train-set").value}-${$("train-kind").value}`;

async function start(event) {
	event.preventDefault();
	const values = {}, [set, kind, model] = ["train-set", "train-kind", "train-model"].map((id) => $(id).value);
	for (const input of $("train-form").querySelectorAll("[name]")) {
		const value = input.type === "checkbox" ? (input.checked ? "true" : "") : input.value.trim();
		if (value) values[input.name] = value;
	}
	setText($("train-problem"), "");
	try {
		await ask("/sumi/training", { body: { set, kind, model, options: values } });
		shown = nameOf();
		edited = false;
		await refresh();
	} catch (error) {
		refuse(error);
	}
}

// ── what runs ──

const drawing = "http://www.w3.org/2000/svg";

function svg(name, attributes, ...children) {
	const made = document.createElementNS(drawing, name);
	for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
	made.append(...children);
	return made;
}

// The loss by steps, with its scale at the sides.
function curve(points, width) {
	const [height, left, low] = [220, 52, 26], losses = points.map((p) => p[1]), steps = points.at(-1)[0];
	const least = Math.min(...losses), most = Math.max(...losses), spread = most - least || most || 1;
	const x = (step) => left + ((width - left - 8) * step) / steps;
	const y = (loss) => 10 + (height - low - 10) * (1 - (loss - least) / spread);
	const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img",
		"aria-label": `Loss: from ${losses[0].toPrecision(3)} to ${losses.at(-1).toPrecision(3)} in ${steps} steps` });
	for (const share of [0, 0.5, 1]) {
		const loss = least + share * spread;
		picture.append(svg("line", { x1: left, x2: width - 8, y1: y(loss), y2: y(loss) }),
			svg("text", { x: left - 8, y: y(loss) + 4, "text-anchor": "end" }, loss.toPrecision(3)));
	}
	for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]])
		picture.append(svg("text", { x: x(share * steps), y: height - 4, "text-anchor": anchor }, Math.round(share * steps)));
	picture.append(svg("polyline", { points: points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ") }));
	return picture;
}

const samples = new Map(); // address of each sample that was fetched

async function sampleList(run) {
	const items = [];
	for (const [step, file] of run.samples.slice(-12)) {
		const path = `/sumi/training/${encodeURIComponent(run.name)}/${file}`;
		if (!samples.has(path)) samples.set(path, await imageAddress(path));
		items.push(element("li", {}, element("img", { src: samples.get(path), alt: `Drawn after ${step} steps`, loading: "lazy" }),
			element("span", {}, `step ${step}`)));
	}
	return items;
}

async function showRun() {
	const run = shown ? await ask("/sumi/training/" + encodeURIComponent(shown)) : null;
	$("train-run").hidden = !run;
	$("no-run").hidden = !!run;
	if (!run) return;
	const going = run.state === "running" || run.state === "stopping";
	setText($("run-name"), `${run.set} · ${kinds[run.kind]}`);
	setText($("run-state"), `${standing[run.state]} · step ${run.step} of ${run.steps}`);
	$("run-bar").max = run.steps;
	$("run-bar").value = run.step;
	$("run-stop").hidden = !going;
	$("run-stop").disabled = run.state === "stopping";
	$("run-curve").replaceChildren(run.curve.length > 1 ? curve(run.curve, Math.max(240, $("run-curve").clientWidth))
		: element("p", { className: "hint" }, going ? "The curve begins with the first steps." : "No steps yet."));
	$("run-samples").replaceChildren(...(await sampleList(run)));
	$("run-samples-title").hidden = !run.samples.length;
	setText($("run-said"), run.said);
	$("run-log").open ||= run.state === "failed";
	setText($("run-use"), run.state === "done" && run.kind === "lora" ? `Drawn with as <lora:${run.name}:1>.` : "");
}

async function refresh() {
	clearTimeout(timer);
	if ($("train").hidden) return;
	const all = await ask("/sumi/training");
	({ sets, runs } = all);
	choices = all.options;
	const going = runs.find((r) => r.state === "running" || r.state === "stopping");
	shown ||= (going || runs[0])?.name ?? null;
	$("train-go").disabled = !!going || !sets.length;
	$("train-shares").hidden = !going;
	const same = runs.find((r) => r.name === nameOf());
	setText($("train-go"), same && same.state === "stopped" && !edited ? "Go on" : "Train");
	$("runs").replaceChildren(...runs.map((run) => button(`${run.set} · ${kinds[run.kind]}`, () => {
		shown = run.name;
		refresh().catch(refuse);
	}, { ariaPressed: String(run.name === shown), title: standing[run.state] })));
	await showRun();
	timer = setTimeout(() => refresh().catch(refuse), going ? 1500 : 8000);
}

function inWords(set) {
	return `${set.name}: ${set.pictures} pictures${set.captions < set.pictures ? `, ${set.captions} captions` : ""}`;
}

async function show(view) {
	for (const other of $("views").children) other.setAttribute("aria-pressed", other === view);
	$("draw").hidden = view.dataset.view !== "draw";
	$("train").hidden = view.dataset.view !== "train";
	say("");
	await refresh();
	if ($("train").hidden || $("train-set").options.length) return;
	options($("train-set"), sets.map((s) => [s.name, inWords(s)]));
	options($("train-kind"), [["lora", "a LoRA: a small file that changes the model"], ["diffusion", "the whole model"]]);
	$("train-model").replaceChildren(...[...$("model").options].map((o) => new Option(o.text, o.value, false, o.selected)));
	$("no-sets").hidden = sets.length > 0;
	showFields();
}

export function openTraining(about) {
	$("views").hidden = !about.training;
	for (const view of $("views").children) view.onclick = () => show(view).catch(refuse);
	$("train-form").onsubmit = start;
	$("train-form").oninput = () => {
		edited = true;
		setText($("train-go"), "Train");
	};
	$("train-kind").onchange = $("train-set").onchange = () => {
		showFields();
		refresh().catch(refuse);
	};
	$("run-stop").onclick = () => ask("/sumi/training/stop", { body: { name: shown } }).then(refresh).catch(refuse);
}
