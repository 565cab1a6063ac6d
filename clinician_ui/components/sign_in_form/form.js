export default function ({ parentElement, data }) {
  const form = parentElement.querySelector("form");
  form.elements.page.value = data.page;
  if (!form.dataset.ready) {
    form.dataset.ready = "yes";
    form.elements.name.focus();
  }
}
