import { Badge, Button, Card, Failure, Loading } from '../components/ui';
import { integrationNames, tones } from '../lib/status';
import { useStatus } from './api';

/** What a person sees when the sign-in does not load: what is known, instead of an empty page. */
export function Unavailable() {
  const status = useStatus();
  return (
    <main className="mx-auto mt-16 max-w-xl space-y-5 px-4">
      <h1 className="text-xl font-semibold">The sign-in does not load</h1>
      <p className="text-mute">
        The script of the sign-in service has not arrived after 10 seconds. The service may be down, or something in your network or browser, such as an ad blocker, may stop it.
        Programs that use an API key are not affected.
      </p>
      <Button kind="primary" onClick={() => location.reload()}>Try again</Button>
      <Card title="Status of the integrations">
        {status.isPending && <Loading label="Loading the status" rows={2} />}
        {status.isError && <Failure error={status.error} />}
        {status.data && (
          <ul className="space-y-2">
            {Object.entries(status.data.integrations).map(([name, { status: state }]) => (
              <li key={name} className="flex justify-between gap-4">
                {integrationNames[name] ?? name} <Badge tone={tones[state]}>{state}</Badge>
              </li>
            ))}
          </ul>
        )}
      </Card>
    </main>
  );
}
