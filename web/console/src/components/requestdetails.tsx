import type { Schemas } from '@trivet/client';
import { useKeyNames, useMembers } from '../app/names';
import { usd } from '../lib/money';
import { outcomeName, outcomeTone } from '../lib/requests';
import { formatMillis, formatTime } from '../lib/time';
import { Copy } from './copy';
import { Dialog } from './dialog';
import { Badge } from './ui';

type Request = Schemas['RequestRecord'];

export const OutcomeBadge = ({ request: r }: { request: Request }) => (
  <span><Badge tone={outcomeTone(r.outcome)}>{outcomeName(r.outcome)}</Badge>{r.errorCode && <code className="block text-xs text-mute">{r.errorCode}</code>}</span>
);

/** Everything that is logged of a request. */
export function RequestDetails({ request: r, onClose }: { request: Request; onClose: () => void }) {
  const members = useMembers();
  const keys = useKeyNames();
  const rows: [string, string | undefined][] = [
    ['Id', r.id], ['Request id', r.requestId], ['Ended', r.endTime && formatTime(r.endTime)], ['Outcome', outcomeName(r.outcome)], ['Error', r.errorCode],
    ['Member', members.name(r.userId)], ['API key', r.apiKeyId ? keys.name(r.apiKeyId) : 'none (signed in)'],
    ['Model', r.model], ['Served by', [r.target, r.servedModel].filter(Boolean).join(', ')], ["Provider's id", r.providerRequestId],
    ['Tokens', tokens(r.usage, r.estimated)], ['Cost', usd(r.costNanoUsd, 9)],
    ['Latency', r.latencyMillis ? formatMillis(r.latencyMillis) : ''], ['First byte', r.firstByteMillis ? `after ${formatMillis(r.firstByteMillis)}` : ''],
  ];
  return (
    <Dialog title="Request" onClose={onClose}>
      <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1.5 text-sm break-all">
        {rows.filter((row) => row[1]).map(([name, value]) => <div key={name} className="contents"><dt className="text-mute">{name}</dt><dd>{value}</dd></div>)}
      </dl>
      {r.requestId && <div className="mt-5 flex justify-end"><Copy text={r.requestId} label="Copy the request id" /></div>}
    </Dialog>
  );
}

function tokens(usage: Request['usage'], estimated: boolean): string {
  if (!usage) return '';
  const n = (count: number | undefined) => (count ?? 0).toLocaleString();
  return `${n(usage.inputTokens)} in (${n(usage.cachedInputTokens)} cached), ${n(usage.outputTokens)} out${estimated ? ', counted by Trivet' : ''}`;
}
