/** One server-sent event. */
export interface ServerEvent {
  event: string;
  data: string;
}

/** The longest event that is read, in characters. */
const LONGEST = 16 << 20;

/** Reads server-sent events as the HTML standard describes them. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder(); // it removes a BOM, too
  let rest = '';
  let event = '';
  let data: string[] = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      if (rest.length > LONGEST) throw new RangeError('The stream has an event that is too long.');
      const lines = rest.split(/\r\n|\n|\r(?!$)/); // a CR at the end may be half of a CRLF
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line === '') {
          if (data.length > 0) yield { event, data: data.join('\n') };
          event = '';
          data = [];
          continue;
        }
        const colon = line.indexOf(':');
        const name = colon < 0 ? line : line.slice(0, colon);
        const text = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
        if (name === 'data') data.push(text);
        else if (name === 'event') event = text;
      }
      if (done) return; // what is left is half an event
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
