/**
 * Takes an invitation out of the page's address: the fragment holds secrets, so
 * it leaves the address bar and the tab's history at once. Empty if there is
 * none.
 */
export function takeInvitation(): string {
  if (!location.hash.startsWith("#i=")) {
    return "";
  }
  const fragment = location.hash.slice(1);
  history.replaceState(history.state, "", location.pathname + location.search);
  return fragment;
}

/** What stands after # in a pasted link, or all of it. */
export function fragmentOf(pasted: string): string {
  const text = pasted.replace(/\s+/g, "");
  return text.slice(text.indexOf("#") + 1);
}
