import { useInfiniteQuery } from '@tanstack/react-query';
import type { Schemas } from '@trivet/client';
import { useState, type SubmitEvent } from 'react';
import { useApi, useMe, useModels } from '../app/api';
import { useAccounts, useKeyNames, useMembers } from '../app/names';
import { OutcomeBadge, RequestDetails } from '../components/requestdetails';
import { Button, Card, Empty, Failure, fieldClass, inputClass, Labeled, Loading, Select, Table, Td, Th } from '../components/ui';
import { usd } from '../lib/money';
import { emptyFilter, OUTCOMES, requestQuery, type RequestFilter } from '../lib/requests';
import { formatMillis, formatTime } from '../lib/time';

type RequestRecord = Schemas['RequestRecord'];

export default function Requests() {
  const { trivet, scope } = useApi();
  const [filter, setFilter] = useState<RequestFilter>(emptyFilter);
  const [shown, setShown] = useState<RequestRecord>();
  const query = requestQuery(filter);
  const requests = useInfiniteQuery({
    queryKey: ['requests', query, scope],
    initialPageParam: '',
    refetchInterval: 15_000,
    queryFn: ({ signal, pageParam }) => trivet.get('/api/v1/requests', { query: { ...query, pageSize: 50, ...(pageParam && { pageToken: pageParam }) } }, { signal }),
    getNextPageParam: (last) => last.nextPageToken || undefined,
  });
  const all = requests.data?.pages.flatMap((page) => page.requests) ?? [];
  return (
    <div className="grid gap-4 sm:gap-5">
      <Filters filter={filter} change={(more) => setFilter({ ...filter, ...more })} />
      <Card>
        {requests.isPending && <Loading label="Loading the requests" rows={6} />}
        {requests.isError && <Failure error={requests.error} retry={() => void requests.refetch()} />}
        {requests.isSuccess && all.length === 0 && (
          <Empty title={requests.hasNextPage ? 'No match yet' : 'No requests'}>
            <p>{requests.hasNextPage ? 'The newest part of the log has no match. Search the older part too.' : 'Each call to a model appears here when it ends, refused and failed calls too. The log does not contain what was asked or answered.'}</p>
          </Empty>
        )}
        {all.length > 0 && <Rows requests={all} show={setShown} />}
        <div className="mt-3 flex flex-wrap gap-3">
          {requests.hasNextPage && <Button disabled={requests.isFetchingNextPage} onClick={() => void requests.fetchNextPage()}>{requests.isFetchingNextPage ? 'Searching …' : all.length ? 'Show more' : 'Search on'}</Button>}
          <Button disabled={requests.isFetching} onClick={() => void requests.refetch()}>{requests.isFetching ? 'Refreshing …' : 'Refresh'}</Button>
        </div>
      </Card>
      {shown && <RequestDetails request={shown} onClose={() => setShown(undefined)} />}
    </div>
  );
}

function Filters({ filter, change }: { filter: RequestFilter; change: (more: Partial<RequestFilter>) => void }) {
  const identity = useMe().data?.identity;
  const models = useModels();
  const day = (name: 'startDay' | 'endDay', label: string) => (
    <Labeled label={label}><input type="date" value={filter[name]} onChange={(e) => change({ [name]: e.target.value })} className={fieldClass} /></Labeled>
  );
  const submit = (e: SubmitEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    const more: Partial<RequestFilter> = {};
    for (const name of ['accountId', 'userId', 'apiKeyId', 'requestId'] as const) if (form.has(name)) more[name] = String(form.get(name)).trim();
    change(more);
  };
  return (
    <form className="flex flex-wrap items-center gap-3" onSubmit={submit}>
      {identity?.operator && <Account change={(accountId) => change({ accountId, userId: '', apiKeyId: '' })} />}
      {day('startDay', 'From')}
      {day('endDay', 'To')}
      <Select label="Outcome" value={filter.outcome} options={OUTCOMES} onChange={(outcome) => change({ outcome })} />
      <Select label="Model" value={filter.model} options={[['', 'all models'], ...(models.data?.models ?? []).map((m) => [m.id, m.id] as const)]} onChange={(model) => change({ model })} />
      {filter.accountId ? <Foreign key={filter.accountId} /> : <Own filter={filter} change={change} admin={identity?.admin ?? false} />}
      <Text name="requestId" label="Request id" example="req_2f1c" />
      <Button type="submit">Find</Button>
    </form>
  );
}

const Text = ({ name, label, example }: { name: string; label: string; example: string }) => (
  <input name={name} aria-label={label} placeholder={`${label}, such as ${example}`} maxLength={64} className={`${inputClass} sm:w-60!`} />
);

/** The choice of an account for operators, who see all: a known one, or any id. */
function Account({ change }: { change: (accountId: string) => void }) {
  const accounts = useAccounts();
  const chosen = (text: string) => (text === '' || accounts.some(([id]) => id === text)) && change(text);
  return (
    <Labeled label="Account">
      <input name="accountId" list="accounts" placeholder="Your own" maxLength={64} onChange={(e) => chosen(e.target.value.trim())} className={`${fieldClass} sm:w-52`} />
      <datalist id="accounts">{accounts.map(([id, name]) => <option key={id} value={id}>{name}</option>)}</datalist>
    </Labeled>
  );
}

/** The members and keys of the person's own account, by name. */
function Own({ filter, change, admin }: { filter: RequestFilter; change: (more: Partial<RequestFilter>) => void; admin: boolean }) {
  const members = useMembers();
  const keys = useKeyNames();
  return (
    <>
      {admin && members.list.length > 1 && <Select label="Member" value={filter.userId} options={[['', 'all members'], ...members.list]} onChange={(userId) => change({ userId })} />}
      {keys.list.length > 0 && <Select label="API key" value={filter.apiKeyId} options={[['', 'all keys'], ...keys.list]} onChange={(apiKeyId) => change({ apiKeyId })} />}
    </>
  );
}

/** The members and keys of another account, whose names the console does not know. */
const Foreign = () => (
  <>
    <Text name="userId" label="Member" example="user_2abc" />
    <Text name="apiKeyId" label="API key" example="key_2abc" />
  </>
);

function Rows({ requests, show }: { requests: readonly RequestRecord[]; show: (request: RequestRecord) => void }) {
  return (
    <Table caption="Requests" head={<><Th>Ended</Th><Th>Model</Th><Th>Outcome</Th><Th right>Input</Th><Th right>Output</Th><Th right>Cost</Th><Th right>Latency</Th><Th>Target</Th><Th>Request id</Th></>}>
      {requests.map((r) => (
        <tr key={r.id}>
          <Td><button type="button" className="text-left underline" onClick={() => show(r)}>{r.endTime ? formatTime(r.endTime) : r.id}</button></Td>
          <Td>{r.model}</Td>
          <Td><OutcomeBadge request={r} /></Td>
          <Td right>{Number(r.usage?.inputTokens ?? 0).toLocaleString()}</Td>
          <Td right>{Number(r.usage?.outputTokens ?? 0).toLocaleString()}</Td>
          <Td right><span data-cost={r.costNanoUsd}>{usd(r.costNanoUsd)}</span></Td>
          <Td right>{formatMillis(r.latencyMillis)}</Td>
          <Td>{r.target}</Td>
          <Td><code title={r.requestId} className="block max-w-32 truncate text-xs leading-5 text-mute">{r.requestId}</code></Td>
        </tr>
      ))}
    </Table>
  );
}
