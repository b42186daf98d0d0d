"""Worked forms: those of the standard library are run here, those over tables read."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localassist.tools.code_interpreter.asking import spoken_decision
from localassist.tools.code_interpreter.base import CodeFile
from localassist.tools.code_interpreter.worked import Asked, worked_cell
from tests.tools.code_interpreter.asking import BASEBALL, NOTES, SALES, code_for, printed, worked


@pytest.mark.parametrize(
    ("question", "result"),
    [
        ("What is 123456 * 789?", "97406784"),
        ("17 % of 2,340", "397.8"),
        ("what is 3 to the power of 20", "3486784401"),
        ("Calculate (12.5 + 7.5) * 3 / 4", "15.0"),
        ("2^64", "18446744073709551616"),
        ("sqrt(2) * 10", "14.142135"),
        ("What is the square root of 1764?", "42"),
        ("How much is 1000 divided by 8 plus 5?", "130"),
        ("Wie viel ist 48 mal 52?", "2496"),
        ("What is the greatest common divisor of 1071 and 462?", "21"),
        ("25 factorial", "15511210043330985984000000"),
        ("compound interest on $1000 at 5% for 10 years", "1628.894"),
        ("Convert 100 degrees Fahrenheit to Celsius", "37.77"),
        ("A shirt costs $40 and is reduced by 15%. What does it cost now?", "34"),
        ("What is the percentage change from 80 to 100?", "25"),
        ("A car drives 180 km in 2.5 hours. What is its average speed?", "72"),
        ("What is 45 in binary?", "101101"),
        ("What is the sum of the first 100 primes?", "24133"),
        ("primes up to 20", "2 3 5 7 11 13 17 19"),
        ("Is 7919 a prime number?", "7919 is a prime number"),
        ("Is 7917 a prime number?", "7917 is not a prime number"),
        ("What are the prime factors of 360360?", "2 * 2 * 2 * 3 * 3 * 5 * 7 * 11 * 13"),
        ("first 12 fibonacci numbers", "55 89"),
        ("Sum the numbers from 1 to 1000", "500500"),
        ("What is the sum of the even numbers from 1 to 10?", "30"),
        ("average of 4, 8, 15, 16, 23 and 42", "18"),
        ("add up 12.5, 7.25 and 30", "49.75"),
        ("Sort this list: pear, apple, fig", "['apple', 'fig', 'pear']"),
        ("Sort 3, 1 and 2 in descending order", "[3, 2, 1]"),
        ("Remove the duplicates from [3, 1, 3, 2, 1]", "[3, 1, 2]"),
        ("How many days are there between March 3, 2024 and July 9, 2024?", "128"),
        ("What day of the week was 20 July 1969?", "Sunday"),
        ("What is the date 30 days after January 31, 2024?", "2024-03-01"),
        ("Write a Python function to find prime numbers up to n", "47"),
        ("python function to check if a number is prime", "97 True"),
        ("Write a function that computes the factorial of 6", "720"),
    ],
)
def test_results(question: str, result: str) -> None:
    assert result in printed(code_for(question))


def test_cube_roots_do_without_what_python_3_10_lacks() -> None:
    code = code_for("What is the cube root of -27?")
    assert "math.cbrt" not in code
    assert "-3.0" in printed(code)


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("Visualize the distribution of WAR", ["plt.hist(", 'plt.title("Distribution of WAR")']),
        ("Which player has the highest WAR?", ['df["WAR"].idxmax()']),
        ("How many players have a WAR above 3?", ['df["WAR"] > 3', "len(df)"]),
        ("give me this as an excel file", ['"/mnt/data/baseball-data.xlsx"', "to_excel"]),
        ("describe the data", ["describe("]),
    ],
)
def test_forms_over_a_table(question: str, parts: list[str]) -> None:
    code = code_for(question, BASEBALL)
    assert all(part in code for part in parts), code


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("What is the average price by region?", ['df.groupby("region")["price"].mean()']),
        ("Plot the price over time", ['pd.to_datetime(df["date"])', "plot(", "over time"]),
        ("Total quantity in the North", ['df["region"] == "North"', 'df["quantity"].sum()']),
        ("average price of desks", ['df["product"] == "Desk"', 'df["price"].mean()']),
        ("quantity in 2025", ['df["date"].dt.year == 2025']),
        ("top 2 products by quantity", ['["quantity"]', ".sum()", "nlargest(2)"]),
        ("scatter plot of price and quantity", ["plt.scatter("]),
        ("Kreisdiagramm? Nein, ein Balkendiagramm der quantity pro region", ["plot.bar("]),
        ("correlation between price and quantity", ['df["price"].corr(df["quantity"])']),
        ("how many missing values are there?", ["isna()"]),
        ("sort the table by price, highest first", ["ascending=False"]),
        ("convert to json", ["to_json("]),
        ("Which rows are cheaper than 15?", ['df["price"] < 15', "df.head("]),
        ("monthly quantity as a line chart", ['to_period("M")']),
    ],
)
def test_columns_are_chosen_by_the_question(question: str, parts: list[str]) -> None:
    code = code_for(question, SALES)
    assert all(part in code for part in parts), code


@pytest.mark.parametrize(
    "question", ["Who are you?", "What is the capital of France?", "Thanks!", "Write a poem", ""]
)
def test_nothing_fits_other_questions(question: str) -> None:
    assert worked(question, SALES, NOTES) is None


def test_a_text_is_counted() -> None:
    assert "text.split()" in code_for("How many words are in notes.txt?", NOTES)


def test_of_several_tables_the_one_with_the_columns_is_meant() -> None:
    assert "sales.csv" in code_for("average price", BASEBALL, SALES)
    assert "baseball-data.csv" in code_for("average WAR", SALES, BASEBALL)
    assert "sales.csv" in code_for("describe sales.csv", BASEBALL, SALES)


_NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@given(
    st.lists(_NAMES, min_size=1, max_size=4, unique=True),
    _NAMES,
    st.sampled_from(["plot {}", "average {} by {}", "histogram of {}", "top 3 {}", "sort by {}",
                     "how many {} per {}", "box plot of {} by {}", "{} over time"]),
)  # fmt: skip
def test_whatever_columns_are_called_the_cell_is_python(
    names: list[str], value: str, form: str
) -> None:
    """Quotes, braces and backslashes in names break no string of the cell."""
    cells = [value] + ["x"] * (len(names) - 1)
    out = io.StringIO()
    csv.writer(out).writerows([names, cells, ["1"] * len(names), ["2"] * len(names)])
    file = CodeFile(f"{value}.csv".replace("/", ""), "file-1", 10, out.getvalue())
    question = f"{form.format(names[0], names[-1])} for {value} above 3"
    found = worked(question, file)
    if found is not None:
        compile(found.code, "cell", "exec")


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("Solve x^2 - 5x + 6 = 0", "solutions = solve(Eq(x ** 2 - 5 * x + 6, 0), x)"),
        ("what is x if 2x + 3 = 11", "solutions = solve(Eq(2 * x + 3, 11), x)"),
        ("solve 3(n+1) = 2n - 5", "solutions = solve(Eq(3 * (n + 1), 2 * n - 5), n)"),
        ("Plot sin(x) from 0 to 10", "x = linspace(0, 10, 500)"),
        ("Plot y = 2 sin(x) between 0 and 6", "y = 2 * sin(x)"),
        ("Draw a plot of exp(-x) * cos(x)", "y = exp(-x) * cos(x)"),
    ],
)
def test_equations_are_solved_and_curves_drawn(question: str, line: str) -> None:
    assert line in code_for(question).splitlines()


@pytest.mark.parametrize(
    "question",
    [
        "If y = 3 and x = 4, what is x + y?",
        "E = mc^2, who found that?",
        "x^99999999 = 1",
        "Plot the plot of the story",
        "what is x^2 - 5x",
    ],
)
def test_what_is_no_equation_of_one_unknown_is_not_solved(question: str) -> None:
    assert worked(question) is None


def test_interest_needs_no_currency() -> None:
    code = code_for("Compute compound interest on 1000 at 5% for 10 years")
    assert printed(code).endswith("1628.8946267774\n")


@pytest.mark.parametrize(
    ("name", "question", "part"),
    [
        ("order.json", "What is in this file?", "json.load(file)"),
        ("order.json", "What is the total price?", "json.load(file)"),
        ("notes.txt", "Summarize this file", "It begins:"),
        ("broken.csv", "Describe the data", "bytes that are no text"),
        ("photo.png", "What size is this image?", "image.width"),
        ("photo.png", "Convert it to grayscale", '"/mnt/data/photo_gray.png"'),
        ("stock.xlsx", "Plot the price of each product", "numbers.head(30).plot.bar("),
        ("stock.xlsx", "How many people live in the cities?", "sheet_name=None"),
    ],
)
def test_a_file_that_no_form_fits_is_shown(name: str, question: str, part: str) -> None:
    asked = Asked(question, (CodeFile(name, "file-x", 40),))
    decision = spoken_decision(question, asked, worked_cell)
    assert decision is not None and decision.is_wanted
    found = worked_cell(replace(asked, is_decided=True))
    assert found is not None and part in found.code
    compile(found.code, "cell", "exec")


@pytest.mark.parametrize(
    "question", ["What is a CSV file?", "What is the capital of France?", "hello", "Why is it so?"]
)
def test_other_questions_are_not_answered_with_files(question: str) -> None:
    asked = Asked(question, (SALES, CodeFile("photo.png", "file-x", 40)))
    decision = spoken_decision(question, asked, worked_cell)
    assert decision is None or not decision.is_wanted
