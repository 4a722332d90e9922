//! The page, as a string.

use crate::events::Event;

/// One key for one event, through the question and its confirmation, however often either is sent.
/// Another event, or the page opened again, gets another key.
const SCRIPT: &str = r"
const fresh = () => crypto.randomUUID ? crypto.randomUUID() : [...crypto.getRandomValues(new Uint8Array(16))]
  .map((b, i) => (i === 6 ? b & 15 | 64 : i === 8 ? b & 63 | 128 : b).toString(16).padStart(2, '0'))
  .join('').replace(/(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
const field = id => document.querySelector('#' + id);
const say = text => { field('said').textContent = text; };
const names = ['client', 'title', 'price'];
let key = fresh();
for (const name of names)
  field(name).addEventListener('input', () => { key = fresh(); field('save').disabled = false; });
async function save(query) {
  const event = {};
  for (const name of names) event[name] = field(name).value;
  event.price = Number(event.price);
  let reply, answer;
  try {
    reply = await fetch('/api/events' + query, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
      body: JSON.stringify(event),
    });
    answer = await reply.json();
  } catch {
    return say('No answer: press the button again, it is safe.');
  }
  if (!answer.success) {
    const { code, message } = answer.error;
    if (code !== 'CREDIT_NOT_CONFIRMED') return say(message);
    field('question').textContent = message;
    return field('ask').open || field('ask').showModal();
  }
  // Pressed again, it would send the question with a key that has its answer.
  field('save').disabled = true;
  field('ask').close();
  say((reply.headers.get('x-idempotency-replay') ? 'Saved before: ' : 'Saved: ') + answer.data.id);
  const page = new DOMParser().parseFromString(await (await fetch('/')).text(), 'text/html');
  field('rows').replaceWith(page.querySelector('#rows'));
}
";

pub(crate) fn render(events: &[Event]) -> String {
    let rows: String = events
        .iter()
        .map(|event| {
            let (client, title) = (escape(&event.client), escape(&event.title));
            format!("<tr><td>{client}<td>{title}<td>{}", event.price)
        })
        .collect();
    format!(
        "<!doctype html><meta charset=utf-8><title>Events</title>\
         <style>body{{font:16px system-ui;margin:3rem auto;max-width:40rem}}\
         td{{padding:.2rem 2rem .2rem 0}}</style><h1>Events</h1>\
         <p><input id=client value=Ada> <input id=title value=Lesson> \
         <input id=price type=number value=50 min=0> \
         <button id=save onclick=\"save('')\">Save</button> <a href=/>Another one</a>\
         <p id=said></p><dialog id=ask><p id=question></p>\
         <button onclick=\"save('?confirm_credit=1')\">On credit</button> \
         <button onclick=\"this.parentElement.close()\">No</button></dialog>\
         <table id=rows>{rows}</table><script>{SCRIPT}</script>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
