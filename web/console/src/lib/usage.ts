import type { Schemas, Trivet } from '@trivet/client';

export type UsageRow = Schemas['UsageRow'];

export interface Usage {
  rows: UsageRow[];
  total: Schemas['UsageSummary'];
}

export interface UsageQuery {
  startDay: string;
  endDay: string;
  model?: string;
}

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

/** The cost of each day by model, for the chart; days without usage are there, too. Models are sorted by cost. */
export function stacks(rows: readonly UsageRow[], days: readonly string[]): { stacks: Stack[]; names: string[] } {
  const costs = new Map<string, bigint>();
  const cells = new Map<string, bigint>();
  for (const row of rows) {
    const cost = BigInt(row.costNanoUsd);
    costs.set(row.model, (costs.get(row.model) ?? 0n) + cost);
    cells.set(`${row.day} ${row.model}`, (cells.get(`${row.day} ${row.model}`) ?? 0n) + cost);
  }
  const names = [...costs.keys()].sort((a, b) => compare(costs.get(b) ?? 0n, costs.get(a) ?? 0n) || a.localeCompare(b));
  return {
    names,
    stacks: days.map((day) => {
      const parts = names.map((name) => ({ name, cost: cells.get(`${day} ${name}`) ?? 0n }));
      return { day, parts, sum: parts.reduce((sum, part) => sum + part.cost, 0n) };
    }),
  };
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
