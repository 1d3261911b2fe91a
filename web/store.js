// store.js - where the gallery is kept: in a folder of the server (--gallery), or in this browser, if that is wanted.
import { $ } from "./dom.js";
import { ask, imageAddress } from "./server.js";
import { fromParameters } from "./settings.js";

const asData = (base64) => "data:image/png;base64," + base64;

// A picture as the page has it everywhere.
function described(address, made) {
	return { address, prompt: made.values.prompt || "", seed: Number(made.values.seed ?? -1), ...made };
}

const inFolder = {
	async begin() {
		return this.more(null);
	},
	async more(last) {
		const answer = await ask("/sumi/gallery?count=48" + (last ? "&behind=" + encodeURIComponent(last.name) : ""));
		const pictures = await Promise.all(answer.pictures.map(async (one) =>
			described(await imageAddress("/sumi/gallery/" + encodeURIComponent(one.name)), { ...one, values: fromParameters(one.values) })));
		return { pictures, more: answer.more };
	},
	add() {}, // the server has kept it
	remove(picture) {
		if (!picture.name) return;
		ask("/sumi/gallery/" + encodeURIComponent(picture.name), { method: "DELETE", keepalive: true }).catch(() => {});
	},
};

// The newest 60, by the number that IndexedDB gives them.
const inBrowser = {
	most: 60,
	open() {
		this.database ||= new Promise((done, failed) => {
			const opening = indexedDB.open("sumi", 2);
			opening.onupgradeneeded = () => {
				const names = opening.result.objectStoreNames;
				if (names.contains("gallery")) opening.result.deleteObjectStore("gallery");
				opening.result.createObjectStore("gallery", { autoIncrement: true, keyPath: "id" });
			};
			opening.onsuccess = () => done(opening.result);
			opening.onerror = () => failed(opening.error);
		});
		return this.database;
	},
	async run(mode, what) {
		const request = what((await this.open()).transaction("gallery", mode).objectStore("gallery"));
		return new Promise((done, failed) => {
			request.onsuccess = () => done(request.result);
			request.onerror = () => failed(request.error);
		});
	},
	kept: () => localStorage.getItem("keep") === "yes",
	async begin(all) {
		$("keep").checked = this.kept();
		$("keep").onchange = async () => {
			$("keep").disabled = true;
			localStorage.setItem("keep", $("keep").checked ? "yes" : "");
			await this.run("readwrite", (s) => s.clear());
			if (this.kept()) await Promise.all([...all()].reverse().map((one) => this.add(one)));
			$("keep").disabled = false;
		};
		const pictures = this.kept() ? await this.run("readonly", (s) => s.getAll()) : [];
		return { pictures: pictures.reverse().map((made) => described(asData(made.image), made)), more: false };
	},
	async add(picture, oldest) {
		if (!this.kept()) return;
		const { image, values, text, width, height, seed } = picture;
		picture.id = await this.run("readwrite", (s) => s.add({ image, values, text, width, height, seed }));
		if (oldest && oldest.id) this.run("readwrite", (s) => s.delete(oldest.id));
	},
	remove(picture) {
		if (picture.id) this.run("readwrite", (s) => s.delete(picture.id)).catch(() => {});
	},
};

// What the server says of a new picture, and what was asked for it.
export function fresh(event, body) {
	const values = { ...body, seed: event.seed, batch_size: 1 };
	for (const large of ["init_images", "mask", "alwayson_scripts"]) delete values[large];
	return described(asData(event.image), { body, image: event.image, values, text: event.text, name: event.name, seed: event.seed,
		width: event.width, height: event.height });
}

export const storeFor = (about) => (about.gallery ? inFolder : inBrowser);
export const mostInBrowser = inBrowser.most;
