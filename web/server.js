// server.js - requests: with the key where the server asks for one, with its words where it refuses.
import { $ } from "./dom.js";

let key = sessionStorage.getItem("key") || "";
let asking = null; // a promise while the dialog is open

function askForKey() {
	asking ||= new Promise((done) => {
		const dialog = $("key-dialog");
		dialog.onclose = () => {
			key = $("key").value;
			$("key").value = "";
			sessionStorage.setItem("key", key);
			asking = null;
			done();
		};
		$("key-problem").textContent = key ? "That is not its key." : "";
		dialog.showModal();
	});
	return asking;
}

export class Refusal extends Error {
	constructor(text, status, { field = "", retryAfter = 0 } = {}) {
		super(text);
		this.status = status;
		this.field = field; // of the body, that is wrong
		this.retryAfter = retryAfter; // seconds
	}
}

async function refusal(answer) {
	const said = await answer.json().catch(() => ({}));
	const [first] = Array.isArray(said.detail) ? said.detail : [{ msg: said.detail }];
	return new Refusal(first?.msg || `The server answered with status ${answer.status}.`, answer.status,
		{ field: first?.loc?.at(-1), retryAfter: Number(answer.headers.get("Retry-After")) || 0 });
}

async function send(path, { body, method, signal, keepalive } = {}) {
	const given = key, headers = {};
	if (key) headers.Authorization = "Bearer " + key;
	if (body !== undefined) headers["Content-Type"] = "application/json";
	let answer;
	try {
		answer = await fetch(path, { method: method || (body === undefined ? "GET" : "POST"), headers, signal, keepalive,
			body: body === undefined ? undefined : JSON.stringify(body) });
	} catch (error) {
		if (error.name === "AbortError") throw error;
		throw new Refusal("The server does not answer.", 0);
	}
	if (answer.status === 401) {
		if (key === given) await askForKey();
		return send(path, { body, method, signal, keepalive });
	}
	if (!answer.ok) throw await refusal(answer);
	return answer;
}

export const ask = async (path, how) => (await send(path, how)).json();

// Each line of the answer is JSON, and comes as it is written.
export async function* lines(path, how) {
	const reader = (await send(path, how)).body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = "";
	for (;;) {
		const { value, done } = await reader.read();
		if (done) break;
		const parts = (rest + value).split("\n");
		rest = parts.pop();
		for (const part of parts) yield JSON.parse(part);
	}
}

// An address for <img>: with a key, which images cannot send, that of a copy.
export async function imageAddress(path) {
	if (!key) return path;
	return URL.createObjectURL(await (await send(path)).blob());
}
