import { useQueryClient } from '@tanstack/react-query';
import { Code, Send, Square, TriangleAlert } from 'lucide-react';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { useApi, useModels } from '../app/api';
import { edge } from '../app/config';
import { Copy } from '../components/copy';
import { Dialog } from '../components/dialog';
import { Button, Empty, Failure, Field, inputClass, Select } from '../components/ui';
import { usd } from '../lib/money';
import { curl, openai, type Turn } from '../lib/snippets';

const Markdown = lazy(() => import('../components/markdown'));

interface Message extends Turn {
  cost?: string;
  note?: 'stopped' | 'fallback';
}

export default function Playground() {
  const models = useModels();
  const chats = (models.data?.models ?? []).filter((m) => m.kind === 'MODEL_KIND_CHAT');
  const [chosen, setModel] = useState('');
  const model = chosen || (chats.find((m) => m.id === 'gpt-4o-mini') ?? chats[0])?.id || '';
  const [system, setSystem] = useState('');
  const [showCode, setShowCode] = useState(false);
  const chat = useChat();
  const turns = (more: readonly Turn[]) => [...(system ? [{ role: 'system', content: system }] : []), ...more.map(({ role, content }) => ({ role, content }))];
  return (
    <div className="flex min-h-[calc(100dvh-10rem)] flex-col gap-4">
      <div className="flex flex-wrap items-center gap-3">
        <Select compact label="Model" value={model} options={chats.map((m) => [m.id, m.id] as const)} onChange={setModel} />
        <Button className="ml-auto" onClick={() => setShowCode(true)}><Code size={16} aria-hidden /> Code</Button>
        <Button disabled={chat.log.length === 0 || chat.busy} onClick={chat.clear}>Clear</Button>
      </div>
      {models.isError && <Failure error={models.error} retry={() => void models.refetch()} />}
      <details className="rounded-lg border border-line bg-surface px-3 py-2 text-sm">
        <summary>System prompt</summary>
        <div className="pt-2"><Field label="What the model should know before the conversation"><textarea value={system} onChange={(e) => setSystem(e.target.value)} rows={3} className={inputClass} /></Field></div>
      </details>
      <Log log={chat.log} busy={chat.busy} />
      {chat.error !== undefined && <Failure error={chat.error} />}
      <Composer busy={chat.busy} stop={chat.stop} send={(text) => void chat.send(model, turns, text)} disabled={!model} />
      {showCode && <CodeDialog model={model} messages={turns(chat.log.filter((m) => !m.note || m.note === 'stopped'))} onClose={() => setShowCode(false)} />}
    </div>
  );
}

function useChat() {
  const { trivet } = useApi();
  const queries = useQueryClient();
  const [log, setLog] = useState<Message[]>([]);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const controller = useRef<AbortController | null>(null);
  useEffect(() => () => controller.current?.abort(), []); // leaving the page ends the call, so that nobody pays for an answer that nobody reads

  const send = async (model: string, turns: (log: readonly Turn[]) => Turn[], text: string) => {
    const history: Message[] = [...log.filter((m) => m.note !== 'fallback'), { role: 'user', content: text }];
    const abort = new AbortController();
    controller.current = abort;
    let answer = '';
    const show = (more: Partial<Message>) => setLog([...history, { role: 'assistant', content: answer, ...more }]);
    setBusy(true);
    setError(undefined);
    show({});
    try {
      for await (const piece of trivet.chatStream({ model, messages: turns(history) }, { signal: abort.signal })) {
        answer += piece.delta ?? '';
        show(piece.fallback ? { note: 'fallback' } : piece.costNanoUsd ? { cost: piece.costNanoUsd } : {});
      }
    } catch (e) {
      if (abort.signal.aborted) show({ note: 'stopped' });
      else {
        if (answer) show({});
        else setLog(history);
        setError(e);
      }
    } finally {
      setBusy(false);
      void queries.invalidateQueries({ queryKey: ['account'] });
      void queries.invalidateQueries({ queryKey: ['usage'] });
    }
  };
  return { log, busy, error, send, stop: () => controller.current?.abort(), clear: () => { setLog([]); setError(undefined); } };
}

function Log({ log, busy }: { log: readonly Message[]; busy: boolean }) {
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    void end.current?.scrollIntoView({ block: 'nearest' }); // newer browsers return a promise, which is no clean-up
  }, [log]);
  return (
    <div className="flex-1 space-y-4" role="log" aria-live="polite" aria-busy={busy} aria-label="Conversation">
      {log.length === 0 && <Empty title="Ask a model"><p>Each call is charged to the account that is selected above, like every call of the API.</p></Empty>}
      {log.map((m, i) => (
        <div key={i} className={m.role === 'user' ? 'ml-auto w-fit max-w-[85%] rounded-2xl bg-raised px-4 py-2 break-words whitespace-pre-wrap' : 'max-w-[95%]'}>
          {m.role === 'user' ? m.content : <Answer message={m} waiting={busy && i === log.length - 1} />}
        </div>
      ))}
      <div ref={end} />
    </div>
  );
}

function Answer({ message: m, waiting }: { message: Message; waiting: boolean }) {
  return (
    <>
      {m.content ? <Suspense fallback={<p className="whitespace-pre-wrap">{m.content}</p>}><Markdown text={m.content} /></Suspense> : waiting && <p className="animate-pulse text-mute">…</p>}
      {m.note === 'fallback' && <p className="mt-1 flex items-center gap-1 text-xs text-warn"><TriangleAlert size={12} aria-hidden /> Fallback: the models cannot be reached. This answer was not charged.</p>}
      {m.note === 'stopped' && <p className="mt-1 text-xs text-mute">Stopped. What the model wrote until then is charged.</p>}
      {m.cost && <p className="mt-1 text-xs text-mute tabular-nums">Cost: <span data-cost={m.cost}>{usd(m.cost)}</span></p>}
    </>
  );
}

function Composer({ busy, stop, send, disabled }: { busy: boolean; stop: () => void; send: (text: string) => void; disabled: boolean }) {
  const [text, setText] = useState('');
  const submit = () => {
    if (!text.trim() || busy || disabled) return;
    send(text);
    setText('');
  };
  return (
    <form className="sticky bottom-0 flex items-end gap-2 bg-page py-3" onSubmit={(e) => { e.preventDefault(); submit(); }}>
      <label className="sr-only" htmlFor="message">Message</label>
      <textarea
        id="message" rows={1} value={text} placeholder="Message" onChange={(e) => setText(e.target.value)} className={`${inputClass} field-sizing-content max-h-48 min-h-11 resize-none py-2.5`}
        onKeyDown={(e) => { if (e.key === 'Enter' && !e.shiftKey && !e.nativeEvent.isComposing) { e.preventDefault(); submit(); } }}
      />
      {busy ? <Button className="h-11" onClick={stop}><Square size={16} aria-hidden /> Stop</Button> : <Button kind="primary" type="submit" className="h-11" disabled={disabled}><Send size={16} aria-hidden /> Send</Button>}
    </form>
  );
}

function CodeDialog({ model, messages, onClose }: { model: string; messages: Turn[]; onClose: () => void }) {
  const turns = messages.length > 0 ? messages : [{ role: 'user', content: 'Hello!' }];
  return (
    <Dialog title="This conversation as code" onClose={onClose}>
      <p className="mb-4 text-sm text-mute">Both read an API key from the environment variable TRIVET_API_KEY.</p>
      {([['curl', curl(edge, model, turns)], ['OpenAI SDK', openai(edge, model, turns)]] as const).map(([name, code]) => (
        <section key={name} className="mb-5">
          <div className="mb-2 flex items-center justify-between"><h3 className="font-medium">{name}</h3><Copy text={code} /></div>
          <pre tabIndex={0} className="max-h-56 overflow-auto rounded-lg bg-raised p-3 text-xs">{code}</pre>
        </section>
      ))}
    </Dialog>
  );
}
