// gallery.js - what was made, newest first: click for its settings, compare, delete.
import { $, button, complain, element, toast } from "./dom.js";
import { mostInBrowser, storeFor } from "./store.js";
import * as stage from "./stage.js";

let pictures = [], store = null, use = () => {}, keptByServer = false;

function thumbnail(picture) {
	const image = element("img", { src: picture.address, alt: picture.prompt || "a picture without words", loading: "lazy",
		width: picture.width || 128, height: picture.height || 128 });
	const open = element("button", { type: "button", className: "open", title: picture.prompt }, image);
	open.onclick = () => {
		stage.show(picture);
		use(picture.values);
		$("stage").scrollIntoView({ block: "nearest" });
	};
	open.onkeydown = (event) => keyOn(event, picture, open);
	const item = element("li", {}, open, element("div", { className: "acts" },
		button("⇄", () => stage.compare(picture), { ariaLabel: "Compare with the picture above: " + picture.prompt, title: "Compare" }),
		button("×", () => remove(picture), { ariaLabel: "Delete: " + picture.prompt, title: "Delete" })));
	picture.item = item;
	return item;
}

function keyOn(event, picture, open) {
	const at = pictures.indexOf(picture), to = pictures[at + (event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0)];
	if (event.key === "Delete") {
		remove(picture);
		(pictures[at] || pictures[at - 1])?.item.querySelector(".open").focus();
	} else if (to && to !== picture) {
		to.item.querySelector(".open").focus();
	} else return;
	event.preventDefault();
}

function showEmpty() {
	$("no-pictures").hidden = pictures.length > 0;
}

function remove(picture) {
	const at = pictures.indexOf(picture);
	pictures.splice(at, 1);
	picture.item.remove();
	if (stage.current() === picture) stage.clear();
	showEmpty();
	toast("Deleted.", () => {
		pictures.splice(at, 0, picture);
		$("made").insertBefore(picture.item, $("made").children[at] || null);
		showEmpty();
	}, () => store.remove(picture));
}

export function add(picture) {
	pictures.unshift(picture);
	$("made").prepend(thumbnail(picture));
	let oldest = null;
	if (!keptByServer && pictures.length > mostInBrowser) {
		oldest = pictures.pop();
		oldest.item.remove();
	}
	Promise.resolve(store.add(picture, oldest)).catch(complain);
	showEmpty();
}

function append({ pictures: list, more }) {
	pictures.push(...list);
	$("made").append(...list.map(thumbnail));
	$("more").hidden = !more;
	showEmpty();
}

export async function openGallery(about, whenUsed) {
	store = storeFor(about);
	keptByServer = about.gallery;
	use = whenUsed;
	$("keep-label").hidden = about.gallery;
	$("more").onclick = async () => append(await store.more(pictures[pictures.length - 1]));
	append(await store.begin(() => pictures));
}
