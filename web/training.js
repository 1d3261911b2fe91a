// training.js - training runs of the server's folder: watched, stopped, and drawn with. One at a time.
import { $, button, element, renew, say, setText } from "./dom.js";
import { curve } from "./curve.js";
import { chooseControl } from "./control.js";
import { addToPrompt } from "./prompt.js";
import { ask, imageAddress } from "./server.js";
import { nameOfRun, openForm, refuse, showForm } from "./training-form.js";

const kinds = { lora: "LoRA", embedding: "word", controlnet: "ControlNet", diffusion: "whole model" };
const standing = { running: "training", stopping: "saving a checkpoint", stopped: "stopped; it can go on", failed: "failed", done: "done" };
let shown = null, timer = 0, trained = () => {};
let watched = null; // { name, step, time } of the run that is going on, when this page first saw it

const isGoing = (run) => run.state === "running" || run.state === "stopping";
const titleOf = (run) => `${run.set} · ${kinds[run.kind]}`;

// ── one run ──

const samples = new Map(); // address of each sample that was fetched

async function showSamples(run) {
	const newest = run.samples.slice(-12);
	for (const [, file] of newest) {
		const path = `/sumi/training/${encodeURIComponent(run.name)}/${file}`;
		if (!samples.has(path)) samples.set(path, await imageAddress(path));
	}
	const prompts = (run.options.validation_prompts || "").replaceAll("|", ", ");
	renew($("run-samples"), [run.name, newest], () => newest.map(([step, file]) => {
		const address = samples.get(`/sumi/training/${encodeURIComponent(run.name)}/${file}`);
		return element("li", {}, element("a", { href: address, target: "_blank" },
			element("img", { src: address, alt: `Drawn after ${step} steps: ${prompts}`, loading: "lazy" })), element("span", {}, `step ${step}`));
	}));
	$("run-samples-title").hidden = !newest.length;
}

// How long it still takes, from what this page has seen of it.
function timeLeft(run) {
	if (run.state !== "running") return "";
	if (watched?.name !== run.name || run.step < watched.step) watched = { name: run.name, step: run.step, time: Date.now() };
	if (run.step < watched.step + 3) return "";
	const seconds = ((run.steps - run.step) * (Date.now() - watched.time)) / (run.step - watched.step) / 1000;
	return seconds < 90 ? " · about a minute left" : seconds < 5400 ? ` · ${Math.round(seconds / 60)} minutes left`
		: ` · ${Math.round(seconds / 3600)} hours left`;
}

function useOf(run) {
	if (run.state !== "done") return "";
	const file = `${run.name}.safetensors is in the training folder`;
	if (run.kind === "diffusion") return `${file}: sumi serve -m draws with it.`;
	if (!run.usable) return `${file}; this server looks for such files elsewhere.`;
	return { lora: `In prompts: <lora:${run.name}:1>`, embedding: `In prompts: ${run.name}`, controlnet: `Among the ControlNets: ${run.name}` }[run.kind];
}

function drawWith(run) {
	showView("draw");
	if (run.kind === "controlnet") chooseControl(run.name);
	else addToPrompt(run.kind === "lora" ? `<lora:${run.name}:1>` : run.name);
}

async function showRun() {
	const run = shown ? await ask("/sumi/training/" + encodeURIComponent(shown)) : null;
	$("train-run").hidden = !run;
	$("no-run").hidden = !!run;
	if (!run) return;
	setText($("run-name"), titleOf(run));
	setText($("run-state"), standing[run.state]);
	setText($("run-step"), `step ${run.step} of ${run.steps}${timeLeft(run)}`);
	$("run-bar").max = run.steps;
	$("run-bar").value = run.step;
	$("run-stop").hidden = !isGoing(run);
	$("run-stop").disabled = run.state === "stopping";
	$("run-draw").hidden = !(run.state === "done" && run.usable);
	$("run-draw").onclick = () => drawWith(run);
	const width = Math.max(240, $("run-curve").clientWidth);
	renew($("run-curve"), [run.curve, width, isGoing(run)], () => [run.curve.length > 1 ? curve(run.curve, width)
		: element("p", { className: "hint" }, isGoing(run) ? "The curve begins with the first steps." : "No steps yet.")]);
	await showSamples(run);
	setText($("run-said"), run.said);
	setText($("run-problem"), run.state === "failed" ? run.said.trim().split("\n").at(-1).replace(/^sumi: /, "") : "");
	setText($("run-use"), useOf(run));
}

// ── all of them ──

let states = {}; // of the runs, by name, when they were last asked for

async function refresh() {
	clearTimeout(timer);
	if ($("train").hidden) return;
	const said = await ask("/sumi/training"), { runs } = said, going = runs.find(isGoing);
	if (runs.some((run) => run.state === "done" && states[run.name] && states[run.name] !== "done")) trained();
	states = Object.fromEntries(runs.map((run) => [run.name, run.state]));
	if (!runs.some((run) => run.name === shown)) shown = (going || runs[0])?.name ?? null;
	showForm(said, going);
	renew($("runs"), [runs.map((run) => [run.name, run.state]), shown], () => runs.map((run) => button(titleOf(run), () => {
		shown = run.name;
		refresh().then(() => $("runs").querySelector("[aria-pressed=true]")?.focus()).catch(refuse);
	}, { ariaPressed: String(run.name === shown), title: standing[run.state] })));
	await showRun();
	timer = setTimeout(keepOn, going ? 1500 : 8000);
}

// The server may be away for a while: what it says next is shown as if nothing had been.
let away = false;
async function keepOn() {
	try {
		await refresh();
		if (away) say("");
		away = false;
	} catch (error) {
		if (!away) say(error.message);
		away = true;
		timer = setTimeout(keepOn, 4000);
	}
}

function showView(name) {
	for (const view of $("views").children) view.setAttribute("aria-pressed", view.dataset.view === name);
	$("draw").hidden = name !== "draw";
	$("train").hidden = name !== "train";
	say("");
	return keepOn();
}

// whenTrained: called when a run has made its file.
export function openTraining(about, whenTrained) {
	trained = whenTrained;
	$("views").hidden = !about.training;
	for (const view of $("views").children) view.onclick = () => showView(view.dataset.view);
	openForm((name) => {
		shown = name;
		return refresh();
	}, () => {
		if (Object.hasOwn(states, nameOfRun())) shown = nameOfRun();
		keepOn();
	});
	$("run-stop").onclick = () => ask("/sumi/training/stop", { body: { name: shown } }).then(refresh).catch(refuse);
}
