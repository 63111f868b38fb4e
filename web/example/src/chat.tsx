import { formatNanoUsd, type Trivet } from '@trivet/client';
import { useRef, useState, type SubmitEvent } from 'react';

interface Message {
  role: string;
  content: string;
  cost?: string;
  fallback?: boolean;
}

export function Chat({ trivet }: { trivet: Trivet }) {
  const [log, setLog] = useState<Message[]>([]);
  const [error, setError] = useState('');
  const [running, setRunning] = useState<AbortController>();
  const input = useRef<HTMLInputElement>(null);

  const send = async (e: SubmitEvent) => {
    e.preventDefault();
    const question = input.current?.value.trim();
    if (!question || running) return;
    input.current!.value = '';
    const history = [...log.filter((m) => !m.fallback), { role: 'user', content: question }];
    const messages = history.map(({ role, content }) => ({ role, content }));
    const controller = new AbortController();
    setRunning(controller);
    setError('');
    setLog(history);
    let content = '';
    try {
      for await (const piece of trivet.chatStream({ model: 'gpt-4o-mini', messages }, { signal: controller.signal })) {
        content += piece.delta ?? '';
        setLog([...history, { role: 'assistant', content, fallback: piece.fallback ?? false, ...(piece.costNanoUsd && { cost: piece.costNanoUsd }) }]);
      }
    } catch (e) {
      if (controller.signal.aborted) return;
      setError(e instanceof Error ? e.message : String(e)); // the server's words are for people
    } finally {
      setRunning(undefined);
    }
  };

  return (
    <>
      <div role="log" aria-live="polite" aria-label="Conversation">
        {log.map((m, i) => (
          <p key={i} className={m.role}>
            {m.content}
            {m.fallback && <small> (fallback: the models cannot be reached; nothing was charged)</small>}
            {m.cost && !m.fallback && <small> {formatNanoUsd(m.cost)}</small>}
          </p>
        ))}
      </div>
      {error && <p role="alert">{error}</p>}
      <form onSubmit={(e) => void send(e)}>
        <input ref={input} aria-label="Message" placeholder="Message" />
        {running ? <button key="stop" type="button" onClick={() => running.abort()}>Stop</button> : <button key="send">Send</button>}
      </form>
    </>
  );
}
