//! The page, as a string.

use crate::Assessment;

/// One key for one wish, however often it is clicked, and however late: the next wish (another
/// patient, or the page opened again) gets another key, and who comes back to the first patient
/// finds the first key. An answer is no reason for a new one, since the second click of a double
/// click may come after it.
const SCRIPT: &str = r"
const fresh = () => crypto.randomUUID ? crypto.randomUUID()
  : Array.from(crypto.getRandomValues(new Uint8Array(16)), b => b.toString(16).padStart(2, '0')).join('');
const keys = new Map();
async function start() {
  const patient = document.querySelector('#patient').value;
  if (!keys.has(patient)) keys.set(patient, fresh());
  try {
    const reply = await fetch('/assessments', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'Idempotency-Key': keys.get(patient) },
      body: JSON.stringify({ patient }),
    });
    const text = await reply.text();
    document.querySelector('#said').textContent = `${reply.status} ${text}`;
    if (!reply.ok) return;
    const page = new DOMParser().parseFromString(await (await fetch('/')).text(), 'text/html');
    document.querySelector('#rows').replaceWith(page.querySelector('#rows'));
  } catch {
    document.querySelector('#said').textContent = 'No answer: click again, it is safe.';
  }
}
";

pub(crate) fn render(assessments: &[Assessment]) -> String {
    let rows: String = assessments
        .iter()
        .map(|row| {
            format!(
                "<tr><td>{}<td>{}",
                escape(&row.number),
                escape(&row.patient)
            )
        })
        .collect();
    format!(
        "<!doctype html><meta charset=utf-8><title>Assessments</title>\
         <style>body{{font:16px system-ui;margin:3rem auto;max-width:40rem}}\
         td{{padding:.2rem 2rem .2rem 0}}</style>\
         <h1>Assessments</h1><p><input id=patient value=Ada> \
         <button onclick=start()>Start assessment</button> <a href=/>Another one</a>\
         <p id=said></p>\
         <table id=rows>{rows}</table><script>{SCRIPT}</script>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
