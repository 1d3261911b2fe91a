// loras.js - the LoRA files that the server has: the prompt says which are used, and how strongly.
import { $, element } from "./dom.js";
import { ask } from "./server.js";

let names = [];

const mark = (name) => new RegExp(`<(?:lora|lyco):${name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?::([-+.\\d]*))?[^<>]*>`, "i");

function weightOf(name) {
	const found = mark(name).exec($("prompt").value);
	return found ? Number(found[1] || 1) : null;
}

function setWeight(name, weight) {
	const prompt = $("prompt"), text = weight === null ? "" : `<lora:${name}:${weight}>`;
	if (mark(name).test(prompt.value)) prompt.value = prompt.value.replace(mark(name), text).trimEnd();
	else if (text) prompt.value = prompt.value.trimEnd() + " " + text;
	prompt.dispatchEvent(new Event("input", { bubbles: true }));
}

function row(name) {
	const on = element("input", { type: "checkbox", id: "lora-" + name });
	const weight = element("input", { type: "range", min: -1, max: 2, step: 0.05, ariaLabel: "Weight of " + name });
	const shown = element("output", {});
	on.onchange = () => setWeight(name, on.checked ? 1 : null);
	weight.oninput = () => setWeight(name, Number(weight.value));
	const item = element("li", {}, element("label", { className: "check" }, on, " " + name), weight, shown);
	item.dataset.name = name;
	return item;
}

function follow() {
	let used = 0;
	const wanted = $("lora-filter").value.toLowerCase();
	for (const item of $("lora-list").children) {
		const weight = weightOf(item.dataset.name), [label, slider, shown] = item.children, on = weight !== null;
		used += on;
		label.firstChild.checked = on;
		slider.hidden = shown.hidden = !on;
		if (on) slider.value = weight;
		shown.textContent = on ? weight.toFixed(2) : "";
		item.hidden = !on && !item.dataset.name.toLowerCase().includes(wanted);
	}
	$("loras").querySelector(".badge").textContent = used ? `${used} used` : `${names.length}`;
}

// The server's list may have grown.
export async function fillLoras() {
	const list = await ask("/sdapi/v1/loras").catch(() => []);
	names = list.map((l) => l.name);
	$("loras").hidden = !names.length;
	$("lora-filter").hidden = names.length < 8;
	$("lora-list").replaceChildren(...names.map(row));
	follow();
}

export async function openLoras() {
	$("lora-filter").oninput = follow;
	$("prompt").addEventListener("input", follow);
	await fillLoras();
}
