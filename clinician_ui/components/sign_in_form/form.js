export default function ({ parentElement, data }) {
  const form = parentElement.querySelector("form");
  form.elements.page.value = data.page;
  form.elements.query.value = window.location.search;
  if (!form.dataset.ready) {
    form.dataset.ready = "yes";
    form.elements.name.focus();
  }
}
