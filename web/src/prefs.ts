// Theme and density: kept in this browser, worn by the root element.

export type Theme = "auto" | "light" | "dark" | "sun";
export type Density = "normal" | "gloves";

const dark = matchMedia("(prefers-color-scheme: dark)");
const contrast = matchMedia("(prefers-contrast: more)");

/** Storage may be closed to the page; then it forgets. */
export function recall(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function keep(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // the choice holds until the page goes
  }
}

export const prefs = {
  theme: (recall("theme") ?? "auto") as Theme,
  density: (recall("density") ?? "normal") as Density,
  /** the backup was put off once: do not ask at every claim */
  backupLater: recall("backup-later") === "1",
};

/** Without a choice: as the system says, and the sun theme for who needs contrast. */
function wanted(): Exclude<Theme, "auto"> {
  if (prefs.theme !== "auto") {
    return prefs.theme;
  }
  if (dark.matches) {
    return "dark";
  }
  return contrast.matches ? "sun" : "light";
}

function apply(): void {
  const root = document.documentElement;
  root.dataset["theme"] = wanted();
  root.dataset["density"] = prefs.density;
}

/** Puts the theme on, and follows the system from now on. */
export function wear(): void {
  apply();
  dark.addEventListener("change", apply);
  contrast.addEventListener("change", apply);
}

export function setTheme(theme: Theme): void {
  prefs.theme = theme;
  keep("theme", theme);
  apply();
}

export function setDensity(density: Density): void {
  prefs.density = density;
  keep("density", density);
  apply();
}

export function setBackupLater(): void {
  prefs.backupLater = true;
  keep("backup-later", "1");
}
