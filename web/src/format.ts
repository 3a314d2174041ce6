// Numbers and times as a person reads them: absolute, with their unit.

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const minuteFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayFormat = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

function today(at: number): boolean {
  return new Date(at).toDateString() === new Date().toDateString();
}

function withDay(at: number, format: Intl.DateTimeFormat): string {
  if (!at) {
    return "never";
  }
  return (today(at) ? "" : dayFormat.format(at) + ", ") + format.format(at);
}

/** "14:06:31", with the day unless it is today. */
export function clock(at: number): string {
  return withDay(at, clockFormat);
}

/** "14:06", with the day unless it is today. */
export function minute(at: number): string {
  return withDay(at, minuteFormat);
}

/** "46 ms", "3.2 ms". */
export function ms(duration: number): string {
  return (duration < 10 ? Math.round(duration * 10) / 10 : Math.round(duration)) + "\u00a0ms";
}

/** "9 s", "2 min". */
export function span(duration: number): string {
  const seconds = Math.max(1, Math.round(duration / 1000));
  return seconds < 100 ? seconds + "\u00a0s" : Math.round(seconds / 60) + "\u00a0min";
}

/** "1 lamp", "30 lamps". */
export function count(n: number, one: string, many = one + "s"): string {
  return n + "\u00a0" + (n === 1 ? one : many);
}

/** An EUI-64 as printed on labels: 00-0b-57-ff-fe-40-1a-c2. */
export function deviceID(id: string): string {
  return id.match(/../g)?.join("-") ?? id;
}

/** "Door A, Door B and 3 more". */
export function listed(names: string[], most = 4): string {
  if (names.length <= most) {
    return names.length < 2 ? names.join("") : names.slice(0, -1).join(", ") + " and " + names.at(-1);
  }
  return names.slice(0, most - 1).join(", ") + " and " + (names.length - most + 1) + " more";
}

const collator = new Intl.Collator(undefined, { numeric: true });

/** Compares names so that N2 comes before N10. */
export const byName = (a: string, b: string): number => collator.compare(a, b);
