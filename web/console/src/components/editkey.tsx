import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { Schemas } from '@trivet/client';
import type { SubmitEvent } from 'react';
import { useApi } from '../app/api';
import { changesOf } from '../lib/keys';
import { Dialog } from './dialog';
import { RateLimits } from './ratelimits';
import { Button, Failure, Field, inputClass } from './ui';

/** Changes the name and the rate limits of a key. */
export function EditKey({ apiKey: key, onClose }: { apiKey: Schemas['ApiKey']; onClose: () => void }) {
  const { trivet } = useApi();
  const queries = useQueryClient();
  const update = useMutation({
    mutationFn: (body: Schemas['UpdateApiKeyBody']) => trivet.patch('/api/v1/apiKeys/{apiKeyId}', { path: { apiKeyId: key.id }, body }),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ['keys'] });
      onClose();
    },
  });
  const submit = (e: SubmitEvent<HTMLFormElement>) => {
    e.preventDefault();
    update.mutate(changesOf(key, new FormData(e.currentTarget)));
  };
  return (
    <Dialog title={`Edit ${key.name}`} onClose={onClose}>
      <form className="space-y-4" onSubmit={submit}>
        <Field label="Name"><input name="name" required maxLength={100} defaultValue={key.name} data-autofocus className={inputClass} /></Field>
        <div className="grid gap-3 sm:grid-cols-2"><RateLimits values={key} /></div>
        <p className="text-sm text-mute">The limits apply at once, also to the keys that this key created. Their higher limits are lowered.</p>
        {update.isError && <Failure error={update.error} />}
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={update.isPending}>{update.isPending ? 'Saving …' : 'Save'}</Button>
        </div>
      </form>
    </Dialog>
  );
}
