import type { Schemas, Trivet } from '@trivet/client';

export type UsageRow = Schemas['UsageRow'];

export interface Usage {
  rows: UsageRow[];
  total: Schemas['UsageSummary'];
}

export type Grouping = 'USAGE_GROUPING_MODEL' | 'USAGE_GROUPING_USER' | 'USAGE_GROUPING_API_KEY';

export interface UsageQuery {
  startDay: string;
  endDay: string;
  model?: string;
  groupBy?: Grouping[];
}

/** What a row belongs to under a grouping: a model, a member or an API key; may be empty. */
export const groupOf: Record<Grouping, (row: UsageRow) => string> = {
  USAGE_GROUPING_MODEL: (row) => row.model,
  USAGE_GROUPING_USER: (row) => row.userId,
  USAGE_GROUPING_API_KEY: (row) => row.apiKeyId,
};

/** The most rows that the page reads: a year of 50 models. */
const MOST = 20_000;

/** Reads the whole report of a range, page by page. The sum is the server's, so every page shows the same. */
export async function readUsage(api: Trivet, query: UsageQuery, signal: AbortSignal): Promise<Usage> {
  const rows: UsageRow[] = [];
  for (let pageToken = ''; ; ) {
    const page = await api.get('/api/v1/billing/usage', { query: { ...query, pageSize: 500, ...(pageToken && { pageToken }) } }, { signal });
    rows.push(...page.rows);
    pageToken = page.nextPageToken;
    if (!pageToken) return { rows, total: page.total };
    if (rows.length >= MOST) throw new Error(`The report has more than ${MOST} rows. Choose a shorter range.`);
  }
}

export interface Stack {
  day: string;
  parts: { name: string; cost: bigint }[];
  sum: bigint;
}

/** The cost of each day by group, for the chart; days without usage are there, too. Groups are sorted by cost. */
export function stacks(rows: readonly UsageRow[], days: readonly string[], group: (row: UsageRow) => string = groupOf.USAGE_GROUPING_MODEL): { stacks: Stack[]; names: string[] } {
  const costs = new Map<string, bigint>();
  const cells = new Map<string, bigint>();
  const cell = (day: string, name: string) => JSON.stringify([day, name]);
  for (const row of rows) {
    const [cost, name] = [BigInt(row.costNanoUsd), group(row)];
    costs.set(name, (costs.get(name) ?? 0n) + cost);
    cells.set(cell(row.day, name), (cells.get(cell(row.day, name)) ?? 0n) + cost);
  }
  const names = [...costs.keys()].sort((a, b) => compare(costs.get(b) ?? 0n, costs.get(a) ?? 0n) || a.localeCompare(b));
  return {
    names,
    stacks: days.map((day) => {
      const parts = names.map((name) => ({ name, cost: cells.get(cell(day, name)) ?? 0n }));
      return { day, parts, sum: parts.reduce((sum, part) => sum + part.cost, 0n) };
    }),
  };
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
