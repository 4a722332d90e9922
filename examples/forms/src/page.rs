//! The page, as a string.

use crate::Practica;

/// A token for each time the form is opened, and a new one when it is about another student or day,
/// and after a success, so that going back to it cannot use a spent one.
/// A full reload is a new entry.
const SCRIPT: &str = r"
const fresh = () => {
  const c = globalThis.crypto;
  if (c && c.randomUUID) return c.randomUUID();
  const bytes = new Uint8Array(16);
  // Old browsers and insecure contexts: better a weak token than none.
  if (c && c.getRandomValues) c.getRandomValues(bytes);
  else bytes.forEach((_, i) => { bytes[i] = Math.random() * 256; });
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
};
const field = name => document.querySelector('#' + name);
const say = text => { field('said').textContent = text; };
const names = ['student', 'day', 'patient', 'attachment'];
let token = fresh();
for (const name of ['student', 'day']) field(name).addEventListener('change', () => { token = fresh(); });
for (const name of names) field(name).addEventListener('input', () => { field('save').disabled = false; });
async function send() {
  const form = { token };
  for (const name of names) form[name] = field(name).value;
  if (!navigator.onLine) return say('Not sent: you are offline.');
  let reply;
  try {
    reply = await fetch('/practicas', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(form),
    });
  } catch {
    return say('Maybe saved: the answer is lost. Press save again, it is safe.');
  }
  const answer = await reply.json().catch(() => ({}));
  if (reply.status >= 500 || answer.code === 'REQUEST_IN_PROGRESS')
    return say('Not saved yet: press save again.');
  // A refusal is final for this token: what is corrected is another request.
  if (token === form.token) token = fresh();
  // The second click of a double click may come after the answer: not with the new token.
  field('save').disabled = true;
  if (reply.ok) for (const name of ['patient', 'attachment']) field(name).value = '';
  say(reply.ok ? 'Saved: ' + answer.id : 'Refused: ' + (answer.code || reply.status));
  const page = new DOMParser().parseFromString(await (await fetch('/')).text(), 'text/html');
  field('rows').replaceWith(page.querySelector('#rows'));
}
";

pub(crate) fn render(practicas: &[Practica]) -> String {
    let rows: String = practicas
        .iter()
        .map(|row| {
            let (student, day, number) = (escape(&row.student), escape(&row.day), row.number);
            format!(
                "<tr><td>{student}<td>{day}<td>{number}<td>{}",
                escape(&row.id)
            )
        })
        .collect();
    format!(
        "<!doctype html><meta charset=utf-8><title>Practice</title>\
         <style>body{{font:16px system-ui;margin:3rem auto;max-width:50rem}}\
         td{{padding:.2rem 2rem .2rem 0}}</style><h1>Practice</h1>\
         <p><input id=student value=ada> <input id=day value=2025-03-01> \
         <input id=patient placeholder=patient> <input id=attachment placeholder=attachment> \
         <button id=save onclick=send()>Save</button><p id=said></p>\
         <table id=rows>{rows}</table><script>{SCRIPT}</script>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
