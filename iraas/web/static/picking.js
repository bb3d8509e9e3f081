// Collecting images that were dropped (also in folders), picked or pasted.

const SNIFF_BYTES = 16;
const LEFT_OUT = /^(\.|thumbs\.db$|desktop\.ini$)/i;

// Excludes the system files of a folder.
const isVisible = (name) => !LEFT_OUT.test(name);

// Entries must be read from the event synchronously; the contents of folders follow. Yields files with
// their names: the path relative to what was dropped.
export async function* droppedFiles(transfer) {
  const items = [...transfer.items].filter((one) => one.kind === "file");
  const entries = items.map((one) => one.webkitGetAsEntry?.() ?? one.getAsFile());
  for (const entry of entries.filter(Boolean)) {
    if (entry instanceof File) yield { file: entry, name: entry.name };
    else yield* filesOf(entry, "");
  }
}

async function* filesOf(entry, path) {
  if (entry.isFile) {
    const name = path + entry.name;
    try {
      yield { file: await new Promise((done, fail) => entry.file(done, fail)), name };
    } catch {
      yield { file: null, name };
    }
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done) => reader.readEntries(done, () => done([])));
    if (!some.length) return;
    for (const one of some) {
      if (isVisible(one.name)) yield* filesOf(one, `${path}${entry.name}/`);
    }
  }
}

export function* pickedFiles(files) {
  for (const file of files) {
    const isFromFolder = Boolean(file.webkitRelativePath);
    if (!isFromFolder || isVisible(file.name)) yield { file, name: file.webkitRelativePath || file.name };
  }
}

export function* pastedFiles(transfer) {
  for (const file of transfer.files) yield { file, name: file.name || "pasted" };
}

// Returns why the server would refuse a file, as far as is known without sending it; empty if unknown.
export async function refusal(file, maxBytes) {
  if (!file) return "it cannot be read";
  if (!file.size) return "it is empty";
  if (file.size > maxBytes) {
    return `it has ${file.size.toLocaleString("en")} bytes, more than the ${maxBytes.toLocaleString("en")} allowed`;
  }
  try {
    const head = new Uint8Array(await file.slice(0, SNIFF_BYTES).arrayBuffer());
    return isImage(head) ? "" : "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF image";
  } catch {
    return "it cannot be read";
  }
}

function isImage(head) {
  const text = String.fromCharCode(...head);
  return (
    text.startsWith("\xff\xd8\xff") ||
    text.startsWith("\x89PNG\r\n\x1a\n") ||
    /^GIF8[79]a/.test(text) ||
    /^RIFF[^]{4}WEBP/.test(text) ||
    text.startsWith("BM") ||
    /^(II\*\0|MM\0\*)/.test(text)
  );
}
