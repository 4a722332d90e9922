//! The page, as a string, and the browser client that it uses.

use axum::{http::header, response::IntoResponse};

use crate::Practica;

/// The project's browser client as it is built, so that the page needs no build and no network:
/// `npm run examples` in `clients/browser` writes it, and a test there compares the two.
const CLIENT: &str = include_str!("client.js");

/// The client keeps one key for each student and day until it has an answer, and sends again what
/// was not answered; after a success the next entry gets another key, so that going back to the page
/// cannot use a spent one. A full reload is a new entry.
const SCRIPT: &str = r"
import { createAttempt, submitOnce } from '/client.js';
const form = document.querySelector('#entry');
const attempt = createAttempt({
  identity: () => [form.student.value, form.day.value],
  onState: async (state, result) => {
    form.dataset.state = state;
    const said = await words(state, result);
    if (state === attempt.state) document.querySelector('#said').textContent = said;
    if (state === 'saved') form.patient.value = form.attachment.value = '';
  },
});
async function words(state, { outcome, code, response } = {}) {
  if (state === 'sending') return 'Saving ...';
  if (state === 'saved') return 'Saved: ' + (await response.json()).id;
  if (outcome === 'not-sent') return 'Not sent: you are offline.';
  if (state === 'failed') return 'Refused: ' + (code || response.status);
  if (code === 'IDEMPOTENCY_KEY_REUSED')
    return 'Not saved: what you had entered before may be. Look, and open the page again.';
  return state === 'idle' ? '' : 'Maybe saved: press save again, it is safe.';
}
submitOnce(form, attempt, {
  url: '/practicas',
  init: () => {
    const { student, day, patient, attachment } = Object.fromEntries(new FormData(form));
    // The token is in the header, too; the row's own look-up needs no layer to find it here.
    const body = { token: attempt.key(), student, day, patient, attachment };
    return { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  },
  // Somebody waits in front of it. One try takes longer than the server waits for a first sending.
  maxTries: 3,
  tryMs: 30000,
  onResult: async ({ outcome }) => {
    if (outcome !== 'done') return;
    const page = new DOMParser().parseFromString(await (await fetch('/')).text(), 'text/html');
    document.querySelector('#rows').replaceWith(page.querySelector('#rows'));
  },
});
// Another student or day is another entry, with a state of its own.
form.addEventListener('input', () => { form.dataset.state = attempt.state; });
form.dataset.state = attempt.state;
";

/// Serves the client.
pub(crate) async fn client() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript")], CLIENT)
}

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
         <form id=entry><input name=student value=ada required> \
         <input name=day value=2025-03-01 required> \
         <input name=patient placeholder=patient required> \
         <input name=attachment placeholder=attachment> \
         <button>Save</button></form><p id=said></p>\
         <table id=rows>{rows}</table><script type=module>{SCRIPT}</script>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
