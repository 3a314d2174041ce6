// Files in and out of the page.

/** Offers text as a download. */
export function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A name for a file: "Riverside School" becomes "riverside-school". */
export function fileName(...parts: string[]): string {
  const text = parts.join("-").toLowerCase().normalize("NFKD").replace(/[\u0300-\u036f]/g, "");
  return text.replace(/[^a-z0-9.]+/g, "-").replace(/^-+|-+$/g, "") || "lamplighter";
}

/** "2026-11-23-1406", for names of files. */
export function stamp(at = new Date()): string {
  const two = (n: number) => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}-${two(at.getHours())}${two(at.getMinutes())}`;
}

/** The text of the file that was chosen, and forgets the choice. */
export async function chosen(event: Event): Promise<string | undefined> {
  const input = event.target as HTMLInputElement;
  const text = await input.files?.[0]?.text();
  input.value = "";
  return text;
}
