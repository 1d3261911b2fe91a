// stage.js - the picture: growing, made, and beside another one.
import { $, setText, say } from "./dom.js";

const names = { load: "opening the model", encode: "reading", denoise: "drawing", decode: "finishing" };
let half = false; // whether screen readers have heard that half is done
let shown = null; // { address, text, … } of the picture that is there; NULL while it grows
let listeners = [];

export const current = () => shown;
export const onPicture = (told) => listeners.push(told);

function showImage(image, address, alt) {
	image.src = address;
	image.alt = alt;
	image.hidden = false;
	$("easel").classList.remove("empty");
}

export function begin() {
	$("bar").hidden = false;
	$("bar").removeAttribute("value");
	$("easel").classList.add("working");
	endComparison();
	half = false;
	say("drawing");
}

export function progress(stage, step, steps) {
	const share = stage === "denoise" && steps ? step / steps : stage === "decode" ? 1 : 0;
	if (share) $("bar").value = share;
	if (stage !== "denoise" || !steps) return say(names[stage] || stage);
	if (2 * step >= steps && !half) say("half of it is drawn");
	half = 2 * step >= steps;
	say(`step ${step} of ${steps}`, false);
}

export function preview(base64, prompt) {
	if (shown) forget();
	showImage($("picture"), "data:image/png;base64," + base64, "On the way: " + prompt);
	$("picture").classList.add("preview");
}

export function end() {
	$("bar").hidden = true;
	$("easel").classList.remove("working");
	if (!shown && $("picture").classList.contains("preview")) clear();
}

function forget() {
	shown = null;
	$("under").hidden = true;
	for (const told of listeners) told(null);
}

export function clear() {
	forget();
	$("picture").hidden = true;
	$("picture").classList.remove("preview");
	$("easel").classList.add("empty");
}

// picture: { address, prompt, text, seed, width, height, name, … }
export function show(picture) {
	shown = picture;
	endComparison();
	$("picture").classList.remove("preview");
	showImage($("picture"), picture.address, picture.prompt || "a picture without words");
	$("under").hidden = false;
	setText($("caption"), [picture.prompt, picture.seed >= 0 ? `seed ${picture.seed}` : "",
		picture.width ? `${picture.width} × ${picture.height}` : ""].filter(Boolean).join("  ·  "));
	setText($("said"), picture.text || "");
	$("download").href = picture.address;
	$("download").download = picture.name || `sumi-${picture.seed ?? ""}.png`;
	for (const told of listeners) told(picture);
}

// ── two beside each other ──

function divide() {
	$("easel").style.setProperty("--divide", $("divide").value + "%");
}

export function compare(picture) {
	if (!shown || picture === shown) return;
	showImage($("other"), picture.address, picture.prompt || "the other picture");
	$("divide").hidden = $("uncompare").hidden = false;
	$("divide").value = 50;
	$("easel").classList.add("comparing");
	divide();
	$("divide").focus({ preventScroll: true });
	$("easel").scrollIntoView({ block: "nearest" });
	say("comparing: left this picture, right the other");
}

export function endComparison() {
	if ($("other").hidden) return;
	$("other").hidden = $("divide").hidden = $("uncompare").hidden = true;
	$("easel").classList.remove("comparing");
	say("");
}

$("divide").oninput = divide;
$("uncompare").onclick = endComparison;
