// words.js - where in the picture each word is heard: it is drawn once more, and the network's attention to its words comes
// with it. A word's place stays bright, the rest is dimmed.
import { $, button, complain, say } from "./dom.js";
import { ask, lines } from "./server.js";
import * as stage from "./stage.js";

let request = null; // while it is drawn once more
let pinned = null;  // the button of the word that stays shown

async function wordsOf(values) {
	const read = await ask("/sumi/prompt", { body: { prompt: values.prompt || "", model: values.override_settings?.sd_model_checkpoint } });
	const words = read.pieces.map((p) => p.text).join("").match(/[\p{L}\p{N}][\p{L}\p{N}'’-]*/gu) || [];
	return [...new Set(words)].slice(0, 32);
}

function showMap({ width, height, maps }, index) {
	const canvas = $("heat"), bytes = Uint8Array.from(atob(maps[index]), (c) => c.charCodeAt(0)), least = Math.min(...bytes);
	canvas.width = width;
	canvas.height = height;
	const ink = canvas.getContext("2d"), pixels = ink.createImageData(width, height);
	bytes.forEach((heard, i) => pixels.data.set([16, 14, 12, 225 * (1 - (heard - least) / (256 - least))], 4 * i));
	ink.putImageData(pixels, 0, 0);
	canvas.hidden = false;
}

function showWords(words, heard) {
	const show = (index) => (index === null ? ($("heat").hidden = true) : showMap(heard, index));
	const back = () => show(pinned ? [...$("words").children].indexOf(pinned) : null);
	$("words").replaceChildren(...words.map((word, index) => {
		const made = button(word, () => {
			const same = pinned === made;
			pinned?.setAttribute("aria-pressed", "false");
			pinned = same ? null : made;
			made.setAttribute("aria-pressed", String(!same));
			show(same ? null : index);
		}, { ariaPressed: "false" });
		made.onmouseenter = made.onfocus = () => show(index);
		made.onmouseleave = made.onblur = back;
		return made;
	}));
	$("words").hidden = false;
	$("words").firstChild?.click();
}

function end() {
	request?.abort();
	request = pinned = null;
	$("heat").hidden = $("words").hidden = true;
	$("words").replaceChildren();
	$("listen").setAttribute("aria-pressed", "false");
}

async function listen(picture) {
	const words = await wordsOf(picture.values);
	if (!words.length) return say("there are no words to listen for");
	request = new AbortController();
	$("listen").setAttribute("aria-pressed", "true");
	say("listening");
	const body = { ...(picture.body || picture.values), seed: picture.seed, batch_size: 1, words };
	for await (const event of lines("/sumi/draw", { body, signal: request.signal })) {
		if (event.stage === "denoise") say(`listening: step ${event.step} of ${event.steps}`, false);
		if (event.error) throw new Error(event.error);
		if (event.words && stage.current() === picture) showWords(words, event.words);
	}
	request = null;
	say("");
}

stage.onPicture((picture) => {
	end();
	if (!picture) return;
	$("listen").onclick = async () => {
		if ($("listen").getAttribute("aria-pressed") === "true") return end();
		complain("");
		stage.endComparison();
		try {
			await listen(picture);
		} catch (error) {
			end();
			say("");
			if (error.name !== "AbortError") complain(error);
		}
	};
});
