/** What the edge tells the console; see web/console/console.go. */
export interface Config {
  publishableKey: string;
  /** The path of Clerk's Frontend API on the edge; empty for Clerk itself. */
  clerkProxy: string;
}

/** The console's address without a slash at the end, whatever prefix a proxy adds. */
export const base = location.pathname.slice(0, location.pathname.indexOf('/console') + '/console'.length);

/** The edge's address. */
export const edge = location.origin + base.slice(0, -'/console'.length);

export async function readConfig(): Promise<Config> {
  const response = await fetch(`${base}/config.json`);
  if (!response.ok) throw new Error(`The console's configuration cannot be read (status ${response.status}).`);
  return (await response.json()) as Config;
}
