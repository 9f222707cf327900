// Of a file that is larger than what can be uploaded Gradio says "Error" and nothing else.
(() => {
  const size = (bytes) => `${Math.ceil(bytes / 2 ** 20)} MB`;
  const chosen = (event) => {
    const files = [...((event.type === "drop" ? event.dataTransfer?.files : event.target.files) ?? [])];
    if (!files.length) return;
    const place = event.target.closest(".block");
    document.querySelector(".dst-too-large")?.remove();
    const limit = window.gradio_config?.max_file_size;
    const large = files.find((file) => limit && file.size > limit);
    if (!large || !place) return;
    event.preventDefault();
    event.stopPropagation();
    const told = document.createElement("div");
    told.className = "dst-alert dst-too-large";
    told.setAttribute("role", "alert");
    told.textContent = `${large.name} has ${size(large.size)}, and ${size(limit)} can be uploaded: put it on the studio's machine, and give its path on the Data page.`;
    place.after(told);
  };
  for (const name of ["change", "drop"]) document.addEventListener(name, chosen, true);
})();
