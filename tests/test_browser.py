"""The page in a real browser, from the disk and offline: the extra 'browser' and a Chromium, ``make test-browser``."""

import base64
import os
import shutil

import numpy as np
import pytest

from ae_jax import latent as latent_codes
from experiments import decoders, page
from tests.made import apply
from tests.test_page import MODELS, folder, lane, latent, made_dataset, rounded  # noqa: F401 - folder is a fixture

pytestmark = pytest.mark.browser
WIDTHS = {"phone": 390, "desktop": 1280}
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def address(folder):  # noqa: F811
    return page.write(folder, folder / "page").as_uri()


@pytest.fixture
def tab(browser, address):
    """The page in a fresh tab without a network; an error of a script fails the test."""
    context = browser.new_context(offline=True, viewport={"width": WIDTHS["desktop"], "height": 900})
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.goto(address)
    yield opened
    context.close()
    assert not errors


def pixels(tab, selector):
    """A canvas as the address of its PNG."""
    return tab.locator(selector).first.evaluate("canvas => canvas.toDataURL()")


def test_words_of_a_run_do_nothing(tab):
    assert "reproduced" in tab.title()


def test_dragging_decodes_and_hovering_shows_the_test_image(tab):
    plane = tab.locator("canvas.plane")
    plane.scroll_into_view_if_needed()
    box, before = plane.bounding_box(), pixels(tab, "canvas.image")
    tab.mouse.move(box["x"] + 20, box["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 150, box["y"] + 90, steps=4)
    tab.mouse.up()
    tab.wait_for_function("before => document.querySelector('canvas.image').toDataURL() !== before", arg=before)

    place = tab.evaluate("""() => { const m = page.latent.latent_space_A5.models[0], [[l, r], [b, t]] = m.range;
        const i = m.codes.findIndex(([x, y]) => x > l && x < r && y > b && y < t);
        return [i, (m.codes[i][0] - l) / (r - l), 1 - (m.codes[i][1] - b) / (t - b)]; }""")
    tab.mouse.move(box["x"] + place[1] * box["width"], box["y"] + place[2] * box["height"])
    grey = "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, 28, 28).data).filter((_, i) => i % 4 === 0)"
    shown = tab.locator("canvas.image").nth(1).evaluate(grey)
    chosen = latent_codes.subsample(40, 600, seed=0)
    np.testing.assert_array_equal(255 - np.array(shown), made_dataset(40).test_images[chosen[place[0]]].ravel())


def test_the_keyboard_moves_the_point_and_marks_a_walk(tab):
    start = told(tab)
    tab.locator("canvas.plane").focus()
    tab.keyboard.press("a")
    for _ in range(5):
        tab.keyboard.press("ArrowRight")
    assert told(tab)[0] > start[0] and told(tab)[1] == start[1]
    tab.keyboard.press("b")
    strip = tab.locator("canvas.strip")
    assert strip.evaluate("canvas => [canvas.width, canvas.height]") == [12 * 28, 28]


DECODED = "canvas[aria-label='The decoded image']"


def told(tab):
    """The code that the page says, to two decimals."""
    words = tab.locator("#explorer p[aria-live]").inner_text()
    return [float(x) for x in words.removeprefix("Code ").split(", ")]


def changes(tab, before):
    """Waits until the decoded image is another; returns it."""
    tab.wait_for_function(
        "([decoded, before]) => document.querySelector(decoded).toDataURL() !== before", arg=[DECODED, before]
    )
    return pixels(tab, DECODED)


def test_more_than_two_latents_have_sliders(tab):
    tab.locator("#space").select_option(index=1)
    sliders = tab.locator(".sliders input")
    sliders.first.wait_for()
    assert sliders.count() == 3
    before, (first, _, third) = pixels(tab, DECODED), told(tab)
    low, high = (float(sliders.nth(1).get_attribute(end)) for end in ("min", "max"))
    sliders.nth(1).fill(str(low + 0.75 * (high - low)))
    after = changes(tab, before)
    np.testing.assert_allclose(told(tab), [first, low + 0.75 * (high - low), third], atol=0.006)
    tab.get_by_role("button", name="Start from a test image of 0").click()  # where it was
    assert changes(tab, after) == before


def test_the_switch_of_beta_changes_the_picture_of_the_same_code(tab):
    tab.locator("#space").select_option(index=1)
    sliders = tab.locator(".sliders input")
    sliders.first.wait_for()
    for i, value in enumerate(("0.5", "-0.5", "0.25")):
        sliders.nth(i).fill(value)
    tab.get_by_role("button", name="Set A here").click()
    code, one = told(tab), pixels(tab, DECODED)
    tab.get_by_text("beta 2").click()
    other = changes(tab, one)
    assert told(tab) == code
    tab.get_by_text("beta 2").press("ArrowLeft")  # a radio button, for the keyboard too
    assert changes(tab, other) == one


def test_an_image_is_followed_from_model_to_model_by_its_codes(tab):
    tab.locator("#space").select_option(index=1)
    tab.get_by_role("button", name="Start from a test image of 3").click()
    for model, name in enumerate(("beta 1", "beta 2")):
        tab.get_by_text(name).click()
        code = tab.evaluate(f"page.latent.rate_distortion.models[{model}].codes[3]")
        np.testing.assert_allclose(told(tab), code, atol=0.006)


@pytest.mark.parametrize("name", MODELS)
def test_a_decoder_computes_in_the_browser_what_it_does_in_jax(tab, name):
    run = lane(name)
    codes = np.random.default_rng(2).normal(size=(3, latent(name))).astype(np.float32)
    script = """([file, codes]) => { const bytes = Uint8Array.from(atob(file), c => c.charCodeAt(0));
        const decoder = new Decoder(bytes.buffer); return codes.map(code => Array.from(decoder.decode(code))); }"""
    found = tab.evaluate(script, [base64.b64encode(decoders.save(run)).decode(), codes.tolist()])
    expected = apply(run.model, rounded(run.params), codes, method="decode")
    np.testing.assert_allclose(found, expected.reshape(3, -1), atol=1e-4)


def test_brushing_trials_shows_their_curves_and_the_table_sorts(tab):
    chart = tab.locator("#trials svg").first
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert tab.locator(".curves svg").get_attribute("data-curves") == "11"  # one diverged
    tab.mouse.move(box["x"] + 45, box["y"] + 5)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 5, steps=3)
    tab.mouse.up()
    chosen = int(tab.locator(".curves svg").get_attribute("data-curves"))
    assert 0 < chosen < 11 and tab.locator("#trials tr.chosen").count() == chosen
    tab.mouse.click(box["x"] + box["width"] - 3, box["y"] + 3)
    assert tab.locator("#trials tr.chosen").count() == 0

    rates = "[...document.querySelectorAll('#trials tbody tr')].map(row => Number(row.children[1].textContent))"
    tab.get_by_role("button", name="learning rate").click()
    assert tab.evaluate(rates) == sorted(tab.evaluate(rates))
    tab.get_by_role("button", name="learning rate").click()
    assert tab.evaluate(rates) == sorted(tab.evaluate(rates), reverse=True)


def test_axes_are_labelled_logarithmic_ones_in_powers_of_ten(tab):
    for chart in tab.locator("#trials svg").all():
        labels = chart.locator("text").all_text_contents()
        assert len(labels) >= 6 and not any(label.startswith("-") for label in labels)  # two ticks and a name by axis
    labels = tab.locator("#trials svg").first.locator("text").all_text_contents()
    assert {"1e-3", "1e-2"} & set(labels)


def test_the_lowest_tick_of_an_axis_is_kept(tab):
    """Rates from 1e-5 on, which 10 to the power of -5 is not."""
    labels = tab.locator("#trials svg").nth(1).locator("text").all_text_contents()
    assert "1e-5" in labels


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_nothing_is_wider_than_the_screen(tab, width):
    tab.set_viewport_size({"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(tab, scheme):
    from axe_playwright_python.sync_playwright import Axe

    tab.emulate_media(color_scheme=scheme)
    found = Axe().run(tab, options={"preload": False}).response["violations"]  # it would fetch from the disk
    assert not [(one["id"], one["help"]) for one in found if one["impact"] in ("serious", "critical")]
