"""The pages of the SICAE stand-in: ASP.NET's form around a search, in the shape of pages recorded from the live site.

Kept from them: the DOCTYPE, scripts with a marked section and with tags in their text, `noscript`, titles of several
lines, entities in event handlers, both kinds of quotation marks, tables around the form's fields, the hidden fields far
from one another, what was asked written back into the form, and a grid of three places for secondary activities whose
empty ones are there too. As far as those pages show, the grid's names are not encoded: a quotation mark in a name
breaks the title that holds it. Not kept: the site's menus and logos.
"""

from dataclasses import dataclass
from html import escape

NO_DATA = "Não existem dados para o critério de pesquisa indicado."
NO_NIPC = "O campo &#39;NIPC&#39; não é válido"
PLACES = 3
_HEAD = """

<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="pt" lang="pt">
<head><link rel="stylesheet" media="all" type="text/css" href="all.css" /><title>
\tSICAE - Sistema Informação da Classificação Portuguesa de Atividades Económicas
</title>
    <!-- Tag Manager -->
    <script>
        var d = document, g = d.createElement('script'), s = d.getElementsByTagName('script')[0];
    </script><noscript>Your browser does not support JavaScript!</noscript>
</head>
<body>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """One entry of the register: a name, and CAEs with their descriptions, the primary one first."""

    name: str
    activities: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The names of the form's fields, and what ASP.NET hides in it."""

    nipc: str
    button: str
    view_state: str
    event_validation: str


def search(fields: Fields, *, nipc: str = "", label: str = "", grid: str = "") -> str:
    """Return the page with the form, what was asked in it, and a label for errors (markup) or a grid below it."""
    shown = f' value="{escape(nipc)}"' if nipc else ""
    error = f'<span id="ctl00_MainContent_lblError" class="ClassErro">{label}</span>' if label else ""
    return f"""{_HEAD}
    <form name="aspnetForm" method="post" action="Consulta.aspx" id="aspnetForm">
<div>
<input type="hidden" name="__EVENTTARGET" id="__EVENTTARGET" value="" />
<input type="hidden" name="__EVENTARGUMENT" id="__EVENTARGUMENT" value="" />
<input type="hidden" name="__VIEWSTATE" id="__VIEWSTATE" value="{escape(fields.view_state)}" />
</div>

<script type="text/javascript">
//<![CDATA[
var theForm = document.forms['aspnetForm'];
if (!theForm && 1 < 2) {{
    theForm = document.aspnetForm; document.write('<table id="ConsultaDataGrid"><tr>');
}}
//]]>
</script><noscript>Your browser does not support JavaScript!</noscript>

    <div id="ctl00_MainContent_Panel1" class="form" onkeypress="javascript:return Fire(event, &#39;btnPesquisa&#39;)">
        <div style="float: left; cursor: pointer;">
            <img id="ctl00_MainContent_conscaeinfo" title="Através do SICAE, passa a poder obter informação atualizada.
Pode efetuar pesquisas por Firma, NIPC ou Código CAE." src="images/help.gif" style="border-width:0px;" /></div>
        {error}
        <table class="floatLeft" style="margin-top:10px; margin-left:5px;">
            <tr>
                <td><span id="ctl00_MainContent_lblNIPC" class="letras">NIPC</span></td>
                <td>
                    <input name="{fields.nipc}" type="text" id="{fields.nipc.replace("$", "_")}" maxlength="9"{shown} />
                </td>
            </tr>
        </table>
        <input type="submit" name="{fields.button}" value="Pesquisar" onclick="this.value=&#39;Aguarde&#39;;" />
    </div>
    {grid}
<input type="submit" style="visibility:hidden" />
<div>

\t<input type="hidden" name="__EVENTVALIDATION" id="__EVENTVALIDATION" value="{escape(fields.event_validation)}" />
</div>
</form>
</body>
</html>
"""


def result(nipc: str, company: Company) -> str:
    """Return the grid with one company; names and descriptions as they are, not encoded."""
    (code, description), *others = company.activities
    link = f"<a target=\"_self\" href='Detalhe.aspx?NIPC={nipc}' > Mais CAE</a>"
    more = f"""<td>
                    <div style="cursor: pointer; float: left; padding-left:15px;" title="Ver mais CAE">{link}</div>
                </td>"""
    return _grid(nipc, company.name, (code, description), others[:PLACES], ["Mais CAE"], more)


def nothing() -> str:
    """Return the grid that says that the register has no such number."""
    return _grid("&nbsp;", NO_DATA, ("", ""), [], [], "")


def maintenance() -> str:
    """Return a page that is no form."""
    return "<html><head><title>SICAE</title></head><body><h1>Em manutenção</h1></body></html>"


def server_error() -> str:
    """Return what ASP.NET answers when a page fails."""
    return (
        "<html><head><title>Runtime Error</title></head><body><h1>Server Error in '/' Application.</h1></body></html>"
    )


def _grid(
    nipc: str,
    name: str,
    primary: tuple[str, str],
    others: list[tuple[str, str]],
    headings: list[str],
    last_cell: str,
) -> str:
    titles = ["NIPC", "Denominação Social/Firma", "CAE Principal", "CAEs Secundários", *headings]
    places = [*others, *[("", "")] * (PLACES - len(others))]
    shown = "".join(
        f"""<div style="cursor: pointer; float: left; padding-left:{15 if number else 50}px;" title="{text}">
                        {code}{"," if code and number < len(others) - 1 else ""}</div>"""
        for number, (code, text) in enumerate(places)
    )
    return f"""<table class="gridMain" cellspacing="0" border="0" id="ctl00_MainContent_ConsultaDataGrid" \
style="border-collapse:collapse;text-align: center">
\t<tr class="gridHeader">
\t\t{"".join(f"<td>{title}</td>" for title in titles)}
\t</tr><tr>
\t\t<td>{nipc}</td><td class="upperFirma"><div style="cursor: pointer;" title="{name}">{name}</div>
            </td><td>
                    <div style="cursor: pointer;" title="{primary[1]}">
                        {primary[0]}</div>
                </td><td class="centerCae">
                    {shown}
                </td>{last_cell}
\t</tr>
</table>"""
