// dom.js - what every part of the page does with its elements.

export const $ = (id) => document.getElementById(id);

// element("li", { className: "row" }, "text", otherElement)
export function element(name, properties = {}, ...children) {
	const made = Object.assign(document.createElement(name), properties);
	made.append(...children);
	return made;
}

export function button(text, onclick, properties = {}) {
	return element("button", { type: "button", onclick, ...properties }, text);
}

export function options(select, list, chosen) {
	select.replaceChildren(...list.map(([value, text]) => new Option(text, value, false, value === chosen)));
}

// The one line at the top that says what goes on. Screen readers hear it too, but for what changes many times a second.
export function say(text, aloud = true) {
	$("state").textContent = text;
	if (aloud) setText($("aloud"), text);
}

export function complain(error) {
	const text = typeof error === "string" ? error : error.message;
	$("problem").textContent = text;
	if (text) $("problem").scrollIntoView({ block: "nearest" });
}

// A note at the bottom for some seconds, with a way back. `done` is called when nobody took it.
let waiting = null;
export function toast(text, undo, done) {
	finishToast();
	const end = () => {
		clearTimeout(timer);
		waiting = null;
		$("toast").replaceChildren();
	};
	const timer = setTimeout(finishToast, undo ? 7000 : 4000);
	waiting = () => {
		end();
		if (done) done();
	};
	$("toast").replaceChildren(element("span", {}, text));
	if (undo)
		$("toast").append(button("Undo", () => {
			end();
			undo();
		}, { className: "link" }));
}

export function finishToast() {
	if (waiting) waiting();
}

export function fileAsUrl(file) {
	return new Promise((done, failed) => {
		const reader = new FileReader();
		reader.onload = () => done(reader.result);
		reader.onerror = () => failed(reader.error);
		reader.readAsDataURL(file);
	});
}

// What an <img> shows, as the address of a PNG file.
export function asData(image) {
	const canvas = element("canvas", { width: image.naturalWidth, height: image.naturalHeight });
	canvas.getContext("2d").drawImage(image, 0, 0);
	return canvas.toDataURL("image/png");
}

// Sets an element's text where it differs, so that screen readers are not told twice.
export function setText(where, text) {
	if (where.textContent !== text) where.textContent = text;
}

// Children are made anew only where `facts`, what they are made from, differ: so focus and what was scrolled stay.
const made = new WeakMap();
export function renew(where, facts, make) {
	const text = JSON.stringify(facts);
	if (made.get(where) === text) return;
	made.set(where, text);
	where.replaceChildren(...make());
}

// Says what is wrong at the field that it is about, until that is changed. False: the form has no such field.
export function blame(form, error) {
	const field = error.field && form.elements[error.field], place = field?.closest?.(".field, .slide, .pair, .text");
	if (!place || !field.getClientRects) return false;
	for (let at = place.closest("details"); at; at = at.parentElement.closest("details")) at.open = true;
	const id = field.id + "-problem", note = $(id) || element("p", { className: "problem", id, role: "alert" });
	place.append(note);
	setText(note, error.message);
	field.setAttribute("aria-invalid", "true");
	field.setAttribute("aria-describedby", id);
	field.addEventListener("input", () => {
		note.remove();
		field.removeAttribute("aria-invalid");
		field.removeAttribute("aria-describedby");
	}, { once: true });
	field.focus();
	return true;
}
