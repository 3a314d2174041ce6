// The file that a person drops: is it firmware at all, and its bytes as base64.

/** The engine keeps images in the browser's storage. */
const largest = 16 << 20;

const expected = "Choose the file that the vendor signed: a SUIT envelope with the image in it, often named .suit.";

/** What a file is not firmware by, as its first bytes tell. */
const kinds: readonly [start: string, is: string][] = [
  ["%PDF", "a PDF document"],
  ["PK\u0003\u0004", "a ZIP archive; unpack it first"],
  ["\u001f\u008b", "a compressed file; unpack it first"],
  ["\u007fELF", "a program without the vendor’s signature"],
  ["\u0089PNG", "a picture"],
  ["\u00ff\u00d8\u00ff", "a picture"],
  [":10", "an Intel HEX file, without the vendor’s signature"],
  ["-----BEGIN", "a key or a certificate"],
  ["LL1:", "a list of labels; import it on the devices’ screen"],
  ["age-encryption.org", "a backup"],
  ["<", "a text"],
  ["{", "a text"],
];

/** Why a file is no firmware, and what to do. */
export class WrongFile extends Error {
  readonly next = expected;
}

/** Rejects what cannot be firmware before anything reads all of it. */
export async function check(file: File): Promise<void> {
  if (file.size === 0) {
    throw new WrongFile(`“${file.name}” is empty.`);
  }
  if (file.size > largest) {
    throw new WrongFile(`“${file.name}” is larger than ${largest >> 20} MiB, more than an image may have.`);
  }
  const head = String.fromCharCode(...new Uint8Array(await file.slice(0, 32).arrayBuffer()));
  const kind = kinds.find(([start]) => head.startsWith(start));
  if (kind) {
    throw new WrongFile(`“${file.name}” is ${kind[1]}.`);
  }
}

/** A file's bytes as base64; the browser converts them while it reads. */
export function base64(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => {
      const url = reader.result as string;
      resolve(url.slice(url.indexOf(",") + 1));
    };
    reader.onerror = () => reject(new WrongFile("The file could not be read. It may have moved since it was chosen."));
    reader.readAsDataURL(file);
  });
}
