// queue.js - what is asked for is drawn one after the other, and each of it can be cancelled.
import { $, button, complain, element, say, setText } from "./dom.js";
import { lines } from "./server.js";

// A wish: { body, prompt, controller }. What is told of the one that is drawn:
let listener = { begin() {}, progress() {}, preview() {}, picture() {}, end() {} };
const waiting = [];
let drawn = null;

export const isDrawing = () => drawn !== null;

export function ask(body) {
	waiting.push({ body, prompt: body.prompt, controller: new AbortController() });
	if (drawn) say(`${waiting.length} waiting`);
	showQueue();
	next();
}

export function stop() {
	if (drawn) drawn.controller.abort();
}

export function onDrawing(told) {
	listener = told;
}

const pause = (seconds, signal) => new Promise((done) => {
	const timer = setTimeout(done, 1000 * seconds);
	signal.addEventListener("abort", () => {
		clearTimeout(timer);
		done();
	});
});

// One wish's events; again where the queue of the server was full.
async function draw(wish) {
	for (;;) {
		try {
			for await (const event of lines("/sumi/draw", { body: wish.body, signal: wish.controller.signal })) {
				if (event.before !== undefined) say(event.before ? `waiting for ${event.before} of others` : "");
				if (event.stage) listener.progress(event.stage, event.step, event.steps);
				if (event.preview) listener.preview(event.preview, wish);
				if (event.image) listener.picture(event, wish);
				if (event.not_kept) complain(event.not_kept);
				if (event.error) throw new Error(event.error);
				if (event.stopped) return "stopped";
			}
			return "";
		} catch (error) {
			if (error.status !== 429 || wish.controller.signal.aborted) throw error;
			say("the server is busy; this waits");
			await pause(error.retryAfter || 5, wish.controller.signal);
		}
	}
}

async function next() {
	if (drawn || !waiting.length) return;
	const wish = (drawn = waiting.shift());
	showQueue();
	complain("");
	listener.begin(wish);
	let ended = "";
	try {
		ended = await draw(wish);
	} catch (error) {
		if (wish.controller.signal.aborted) ended = "stopped";
		else complain(error);
	}
	drawn = null;
	listener.end(wish);
	say(ended);
	if (wish.shown) setText($("aloud"), `drawn: ${wish.prompt}`);
	next();
}

function showQueue() {
	$("queue").hidden = !waiting.length;
	$("waiting").replaceChildren(...waiting.map((wish) => element("li", {},
		element("span", {}, wish.prompt || "no words"),
		button("×", () => {
			waiting.splice(waiting.indexOf(wish), 1);
			showQueue();
		}, { className: "round", ariaLabel: "Cancel: " + wish.prompt, title: "Cancel" }))));
}
