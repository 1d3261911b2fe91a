// settings.js - the form's fields: as a request for A1111's API, back into the form, and as a picture says them.
import { $, options } from "./dom.js";
import { ask } from "./server.js";

// What stands for "as the model is best" in a request, and is an empty field here.
const own = { width: 0, height: 0, cfg_scale: -1, seed: -1 };
let changed = () => {};

export function wanted() {
	const body = { override_settings: { sd_model_checkpoint: $("model").value } };
	for (const field of $("wish").elements)
		if (field.name && field.value !== "") body[field.name] = field.type === "number" ? Number(field.value) : field.value;
	return { ...own, ...body };
}

export function restore(values) {
	for (const field of $("wish").elements)
		if (field.name && values[field.name] !== undefined && values[field.name] !== null) {
			const value = String(own[field.name] ?? "") === String(values[field.name]) ? "" : String(values[field.name]);
			field.value = field.tagName === "SELECT" ? optionFor(field, value) : value;
			field.dispatchEvent(new Event("input", { bubbles: true }));
		}
	const model = values.override_settings && values.override_settings.sd_model_checkpoint;
	const chosen = [...$("model").options].find((o) => o.value === model);
	if (chosen && $("model").value !== model) {
		$("model").value = model;
		$("model").dispatchEvent(new Event("change"));
	}
}

function optionFor(select, value) {
	const found = [...select.options].find((o) => o.value.toLowerCase() === value.toLowerCase());
	return (found || select.options[0]).value;
}

// What the parameters of a picture, taken apart by the server, are in a request.
export function fromParameters(p) {
	const size = (p.Size || "x").split("x"), number = (text) => (text ? Number(text) : undefined);
	return {
		prompt: p.Prompt, negative_prompt: p["Negative prompt"], steps: number(p.Steps), sampler_name: p.Sampler || "",
		scheduler: p["Schedule type"] || "Automatic", cfg_scale: number(p["CFG scale"]), seed: number(p.Seed),
		width: number(size[0]), height: number(size[1]), batch_size: 1, override_settings: { sd_model_checkpoint: p.Model },
	};
}

// What the parameters say that changes the picture and has no place in the form.
export function notTaken(p) {
	const placed = /^(Prompt|Negative prompt|Steps|Sampler|Schedule type|CFG scale|Seed|Size|Model|Denoising strength)$/;
	const idle = /hash|^(Version|RNG|VAE|Masked|Mask|Inpaint|Conditional|Module|Parser|Emphasis|Noise Schedule)/i;
	return Object.keys(p).filter((name) => !placed.test(name) && !idle.test(name));
}

export function takeSeed(seed) {
	$("seed").value = seed;
	changed();
}

// ── sizes ──

const shapes = [["Square", 1, 1], ["Portrait", 2, 3], ["Landscape", 3, 2], ["Wide", 16, 9]];

// Of about as many pixels as the model was made for, in steps that every model takes.
function sizeOf(across, down, side) {
	const step = side >= 512 ? 64 : 16, near = (x) => Math.max(step, Math.round(x / step) * step);
	const ratio = Math.sqrt(across / down);
	return [near(side * ratio), near(side / ratio)];
}

function showShapes(width, height) {
	const side = Math.sqrt(width * height);
	$("shapes").replaceChildren(...shapes.map(([name, across, down]) => {
		const [w, h] = across === down ? [width, height] : sizeOf(across, down, side);
		const scale = 18 / Math.max(w, h), made = document.createElement("button");
		made.type = "button";
		made.title = `${name}, ${w} × ${h}`;
		made.dataset.size = `${w}x${h}`;
		made.innerHTML = `<svg viewBox="0 0 20 20" aria-hidden="true"><rect x="${10 - (w * scale) / 2}" y="${10 - (h * scale) / 2}"
			width="${w * scale}" height="${h * scale}" rx="1.5"/></svg>`;
		made.append(name);
		made.onclick = () => {
			[$("width").value, $("height").value] = [w, h];
			changed();
		};
		return made;
	}));
	$("width").placeholder = width;
	$("height").placeholder = height;
	markShape();
}

function markShape() {
	const size = `${$("width").value || $("width").placeholder}x${$("height").value || $("height").placeholder}`;
	for (const shape of $("shapes").children) shape.setAttribute("aria-pressed", shape.dataset.size === size);
}

// ── the fields ──

function pairSliders() {
	for (const slider of document.querySelectorAll("input[data-of]")) {
		const number = $(slider.dataset.of);
		slider.oninput = () => {
			number.value = slider.value;
			changed();
		};
		number.addEventListener("input", () => (slider.value = number.value || 7));
		slider.value = number.value || 7;
	}
	for (const output of document.querySelectorAll("output[for]")) {
		const of = $(output.htmlFor.value);
		if (of.type !== "range") continue;
		const show = () => (output.textContent = of.value);
		of.addEventListener("input", show);
		show();
	}
}

// The selected model's own size, which the shapes are made for.
export async function showModel() {
	const about = await ask("/sumi/about?model=" + encodeURIComponent($("model").value));
	showShapes(about.width, about.height);
	return about;
}

export async function fillSettings() {
	const [models, samplers, schedules, now] = await Promise.all(
		["sd-models", "samplers", "schedulers", "options"].map((name) => ask("/sdapi/v1/" + name)));
	options($("model"), models.map((m) => [m.model_name, m.model_name]), now.sd_model_checkpoint);
	options($("sampler"), [["", "the model's own"], ...samplers.map((s) => [s.name, s.name])]);
	options($("schedule"), schedules.map((s) => [s.label, s.label]));
	$("dice").onclick = () => {
		$("seed").value = "";
		changed();
	};
	const showSampler = () => ($("sampler-now").textContent = $("sampler").value || "the model's own");
	changed = () => {
		markShape();
		showSampler();
		localStorage.setItem("wish", JSON.stringify(wanted()));
	};
	$("wish").addEventListener("input", changed);
	pairSliders();
	const last = JSON.parse(localStorage.getItem("wish") || "null");
	if (last) restore(last);
	showSampler();
}
