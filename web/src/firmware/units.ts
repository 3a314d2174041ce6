// Sizes, rates, shares and times of an update, with their units.

const nbsp = "\u00a0";

/** Three digits say enough. */
function short(n: number): string {
  return n < 10 && n % 1 ? n.toFixed(1) : String(Math.round(n));
}

/** "256 KiB", "1.2 MiB", "700 bytes". */
export function bytes(n: number): string {
  if (n < 1024) {
    return n + nbsp + (n === 1 ? "byte" : "bytes");
  }
  const kib = n / 1024;
  return kib < 1024 ? short(kib) + nbsp + "KiB" : short(kib / 1024) + nbsp + "MiB";
}

/** "50 kbit/s", "1.2 Mbit/s". */
export function rate(bits: number): string {
  if (bits < 1e6) {
    return short(bits / 1e3) + nbsp + "kbit/s";
  }
  return short(bits / 1e6) + nbsp + "Mbit/s";
}

/** A share of 1: "4.8 %", "12 %". */
export function percent(share: number): string {
  return short(share * 100) + nbsp + "%";
}

/** "0.4 s", "58 s", "82 min", "3 h 20 min". */
export function duration(seconds: number): string {
  if (seconds < 99.5) {
    return (seconds < 10 ? short(Math.round(seconds * 10) / 10) : String(Math.round(seconds))) + nbsp + "s";
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) {
    return minutes + nbsp + "min";
  }
  const rest = minutes % 60;
  return Math.floor(minutes / 60) + nbsp + "h" + (rest ? nbsp + rest + nbsp + "min" : "");
}

/** A UUID or a digest, its beginning and its end. */
export function brief(hex: string): string {
  return hex.length > 20 ? hex.slice(0, 8) + "…" + hex.slice(-4) : hex;
}
