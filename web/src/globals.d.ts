// What the build puts in, see build/bundle.go.

declare const WORKER_URL: string;

declare module "*.css";

/** The part of Trusted Types that the page uses; the DOM library has none of it. */
interface Window {
  readonly trustedTypes?: {
    createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): object };
  };
}
