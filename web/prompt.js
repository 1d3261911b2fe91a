// prompt.js - the two texts: they grow as one types, their tokens are counted, and what is stressed is marked as the
// server reads it.
import { $, element, setText } from "./dom.js";
import { ask } from "./server.js";

// What is no part of the text that is stressed.
const aside = /<(?:lora|lyco):[^<>]*>|\bBREAK\b/gi;

// [[from, to, weight], …] in the prompt. The pieces are what is left of it without brackets, weights and escapes, in
// order: so each of their characters is the next one in the prompt that is the same.
function placePieces(prompt, pieces) {
	const bare = prompt.replace(aside, (mark) => "\0".repeat(mark.length)), places = [];
	let at = 0;
	for (const piece of pieces)
		for (const character of piece.text) {
			const found = bare.indexOf(character, at);
			if (found < 0) return places;
			const last = places[places.length - 1];
			if (last && last[1] === found && last[2] === piece.weight) last[1] = found + character.length;
			else places.push([found, found + character.length, piece.weight]);
			at = found + character.length;
		}
	return places;
}

function showMarks(area, pieces) {
	const prompt = area.value, marks = area.previousElementSibling, spans = [];
	const stressed = placePieces(prompt, pieces).filter((p) => Math.abs(p[2] - 1) > 0.001);
	const asides = [...prompt.matchAll(aside)].map((m) => [m.index, m.index + m[0].length, null]);
	let at = 0;
	for (const [from, to, weight] of [...stressed, ...asides].sort((a, b) => a[0] - b[0])) {
		if (from < at) continue;
		const span = element("span", { className: weight === null ? "aside" : weight > 1 ? "more" : "less" }, prompt.slice(from, to));
		if (weight !== null) span.style.setProperty("--by", Math.min(1, Math.abs(Math.log2(Math.max(weight, 0.25)))).toFixed(2));
		spans.push(prompt.slice(at, from), span);
		at = to;
	}
	marks.replaceChildren(...spans, prompt.slice(at) + "\n");
	marks.scrollTop = area.scrollTop;
}

function showStress(list, pieces) {
	const stressed = pieces.filter((p) => Math.abs(p.weight - 1) > 0.001 && p.text.trim());
	list.replaceChildren(...stressed.slice(0, 12).map((p) =>
		element("li", { className: p.weight > 1 ? "more" : "less" }, p.text.trim(), element("b", {}, " ×" + p.weight.toFixed(2)))));
}

function grow(area) {
	if (!area.clientWidth) return; // it is not shown
	area.style.height = "auto";
	area.style.height = Math.min(area.scrollHeight + 2, innerHeight / 2) + "px";
}

function follow(area, count, stress) {
	let pieces = [], timer = 0, request = null;
	const read = async () => {
		request?.abort();
		request = new AbortController();
		try {
			const said = await ask("/sumi/prompt", { body: { prompt: area.value, model: $("model").value }, signal: request.signal });
			pieces = said.pieces;
			setText(count, `${said.tokens} / ${said.room}`);
			count.title = said.room > 75 ? "tokens of so many; they are read in chunks of 75" : "tokens of so many";
			showMarks(area, pieces);
			if (stress) showStress(stress, pieces);
		} catch (error) {
			if (error.name !== "AbortError") count.textContent = "";
		}
	};
	const later = () => {
		grow(area);
		showMarks(area, pieces);
		clearTimeout(timer);
		timer = setTimeout(read, 120);
	};
	area.addEventListener("input", later);
	area.addEventListener("scroll", () => (area.previousElementSibling.scrollTop = area.scrollTop));
	area.addEventListener("keydown", (event) => stressByKey(event, area));
	$("model").addEventListener("change", later);
	let width = 0;
	new ResizeObserver(() => {
		if (area.clientWidth !== width) grow(area);
		width = area.clientWidth;
	}).observe(area);
	later();
}

// Control with ↑ or ↓: the selection, or the word at the cursor, is stressed by 0.1 more or less.
function stressByKey(event, area) {
	const by = event.key === "ArrowUp" ? 0.1 : event.key === "ArrowDown" ? -0.1 : 0;
	if (!by || !(event.ctrlKey || event.metaKey)) return;
	event.preventDefault();
	const text = area.value;
	let { selectionStart: from, selectionEnd: to } = area;
	if (from === to) {
		while (from > 0 && /[^\s,()[\]:]/.test(text[from - 1])) from--;
		while (to < text.length && /[^\s,()[\]:]/.test(text[to])) to++;
	}
	if (from === to) return;
	const inner = text.slice(from, to), after = /^:([\d.]+)\)/.exec(text.slice(to));
	const inside = text[from - 1] === "(" && after, weight = Math.max(0, (inside ? Number(after[1]) : 1) + by).toFixed(1);
	const [start, end] = inside ? [from - 1, to + after[0].length] : [from, to];
	const written = weight === "1.0" ? inner : `(${inner}:${weight})`, shift = weight === "1.0" ? 0 : 1;
	replaceText(area, start, end, written);
	area.setSelectionRange(start + shift, start + shift + inner.length);
}

// So that Control+Z takes it back, where the browser can.
export function replaceText(area, from, to, text) {
	area.focus();
	area.setSelectionRange(from, to);
	if (!document.execCommand(text ? "insertText" : "delete", false, text)) {
		area.setRangeText(text, from, to, "end");
		area.dispatchEvent(new Event("input", { bubbles: true }));
	}
}

// At the prompt's end, unless it has it.
export function addToPrompt(text) {
	const prompt = $("prompt"), at = prompt.value.trimEnd().length;
	if (!prompt.value.includes(text)) replaceText(prompt, at, prompt.value.length, (at ? " " : "") + text);
	prompt.focus();
}

export function followPrompts() {
	follow($("prompt"), $("prompt-count"), $("stress"));
	follow($("negative"), $("negative-count"), null);
}
