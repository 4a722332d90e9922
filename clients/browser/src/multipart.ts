/**
 * Encodes a form as `multipart/form-data`, always the same for the same fields and boundary.
 *
 * A browser picks another boundary each time, and the server would take a retry for another
 * request with the same key.
 */
export function encodeForm(form: FormData, boundary: string): Blob {
  const parts: BlobPart[] = [];
  form.forEach((value, name) => {
    parts.push(`--${boundary}\r\nContent-Disposition: form-data; name="${quote(lines(name))}"`);
    if (typeof value === "string") parts.push("\r\n\r\n", lines(value), "\r\n");
    else {
      const type = value.type || "application/octet-stream";
      parts.push(`; filename="${quote(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`, value, "\r\n");
    }
  });
  parts.push(`--${boundary}--\r\n`);
  return new Blob(parts, { type: "multipart/form-data; boundary=" + boundary });
}

/** Ends lines as HTML asks. */
function lines(text: string): string {
  return text.replace(/\r\n?|\n/g, "\r\n");
}

/** Escapes what would end a quoted name. */
function quote(text: string): string {
  return text.replace(/["\r\n]/g, encodeURIComponent);
}
