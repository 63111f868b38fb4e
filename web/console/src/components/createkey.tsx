import { useMutation, useQueryClient } from '@tanstack/react-query';
import { parseNanoUsd, type Schemas } from '@trivet/client';
import { useState, type SubmitEvent } from 'react';
import { useApi, useModels } from '../app/api';
import { readLimits } from '../lib/keys';
import { Copy } from './copy';
import { Dialog } from './dialog';
import { RateLimits } from './ratelimits';
import { Button, Failure, Field, inputClass } from './ui';

const SCOPES = [
  ['ai.invoke', 'call models'],
  ['models.read', 'list models'],
  ['billing.read', 'read usage and balance'],
  ['billing.write', 'change the plan and buy credit'],
  ['keys.manage', 'create and revoke keys'],
] as const;

/** Creates a key, and shows its secret once. */
export function CreateKey({ onClose }: { onClose: () => void }) {
  const { trivet } = useApi();
  const queries = useQueryClient();
  const models = useModels();
  const create = useMutation({
    mutationFn: (body: Schemas['CreateApiKeyRequest']) => trivet.post('/api/v1/apiKeys', { body }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['keys'] }),
  });
  const [problem, setProblem] = useState('');
  if (create.data) return <Secret secret={create.data.secret} onClose={onClose} />;
  const submit = (e: SubmitEvent<HTMLFormElement>) => {
    e.preventDefault();
    const body = read(new FormData(e.currentTarget));
    setProblem(typeof body === 'string' ? body : '');
    if (typeof body !== 'string') create.mutate(body);
  };
  return (
    <Dialog title="Create an API key" onClose={onClose}>
      <form className="space-y-4" onSubmit={submit}>
        <Field label="Name" hint="For people, such as the program that uses it"><input name="name" required maxLength={100} data-autofocus className={inputClass} /></Field>
        <fieldset>
          <legend className="text-sm font-medium">It may</legend>
          <div className="mt-1 grid gap-1.5">
            {SCOPES.map(([scope, text]) => (
              <label key={scope} className="flex items-center gap-2 text-sm"><input type="checkbox" name="scopes" value={scope} defaultChecked={scope === 'ai.invoke' || scope === 'models.read'} /> {text} <code className="text-xs text-mute">{scope}</code></label>
            ))}
          </div>
        </fieldset>
        <details className="rounded-lg border border-line px-3 py-2">
          <summary className="text-sm">Limits and models</summary>
          <div className="grid gap-3 pt-3 sm:grid-cols-2">
            <Field label="Spend limit per period, in dollars" hint="Empty: the account's credit"><input name="spend" inputMode="decimal" pattern="\d{1,9}(\.\d{1,9})?" title="An amount such as 12.50" className={inputClass} /></Field>
            <RateLimits />
            <Field label="Last day" hint="Empty: it does not expire"><input name="expires" type="date" className={inputClass} /></Field>
          </div>
          <fieldset className="pt-3">
            <legend className="text-sm font-medium">Only these models</legend>
            <p className="text-xs text-mute">None chosen: all models of the plan</p>
            <div className="mt-1 grid max-h-40 gap-1 overflow-y-auto sm:grid-cols-2" tabIndex={0} role="group" aria-label="Models">
              {models.data?.models.map((m) => <label key={m.id} className="flex items-center gap-2 text-sm"><input type="checkbox" name="models" value={m.id} /> {m.id}</label>)}
            </div>
          </fieldset>
        </details>
        {problem && <Failure error={problem} />}
        {create.isError && <Failure error={create.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={create.isPending}>{create.isPending ? 'Creating …' : 'Create'}</Button>
        </div>
      </form>
    </Dialog>
  );
}

/** The request that the form describes, or what is wrong with the form. */
function read(form: FormData): Schemas['CreateApiKeyRequest'] | string {
  const text = (name: string) => String(form.get(name) ?? '').trim();
  const scopes = form.getAll('scopes').map(String);
  if (scopes.length === 0) return 'Choose at least one thing that the key may do.'; // an empty list would mean the default
  const body: Schemas['CreateApiKeyRequest'] = { name: text('name'), scopes, models: form.getAll('models').map(String), ...readLimits(form) };
  if (text('spend')) body.spendLimitNanoUsd = parseNanoUsd(text('spend')).toString();
  if (text('expires')) body.expireTime = new Date(`${text('expires')}T23:59:59`).toISOString();
  return body;
}

function Secret({ secret, onClose }: { secret: string; onClose: () => void }) {
  return (
    <Dialog title="The key is ready" onClose={onClose}>
      <p className="text-sm">Copy it now. Trivet stores only a hash of it and cannot show it again.</p>
      <div className="mt-3 flex flex-wrap items-center gap-2">
        <code data-secret tabIndex={0} className="min-w-0 flex-1 rounded-lg bg-raised p-2 text-sm break-all">{secret}</code>
        <Copy text={secret} />
      </div>
      <div className="mt-5 flex justify-end"><Button kind="primary" onClick={onClose}>Done</Button></div>
    </Dialog>
  );
}
