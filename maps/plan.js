// The page reads without this; with it the document too says which language is shown, to whoever reads it aloud.
for (const one of document.getElementsByName('language')) {
  one.addEventListener('change', () => {
    document.documentElement.lang = one.value;
    document.title = one.dataset.title;
  });
}
