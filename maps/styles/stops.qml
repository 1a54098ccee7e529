<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.28.0" styleCategories="Symbology|Labeling|Fields|Forms" labelsEnabled="1">
 <renderer-v2 type="singleSymbol" symbollevels="0" enableorderby="0">
  <symbols>
   <symbol type="marker" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="name" value="circle"/>
      <Option type="QString" name="color" value="161,29,29,255"/>
      <Option type="QString" name="outline_color" value="255,255,255,255"/>
      <Option type="QString" name="size" value="5"/>
      <Option type="QString" name="size_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
  </symbols>
 </renderer-v2>
 <labeling type="simple">
  <settings calloutType="simple">
   <text-style fieldName="stop" isExpression="0" fontSize="9" fontSizeUnit="Point" textColor="28,39,51,255">
    <text-buffer bufferDraw="1" bufferSize="0.8" bufferSizeUnits="MM" bufferColor="255,255,255,255"/>
   </text-style>
   <placement placement="6" dist="2" distUnits="MM"/>
   <rendering drawLabels="1" scaleVisibility="0"/>
  </settings>
 </labeling>
 <fieldConfiguration>
  <field name="outcome">
   <editWidget type="ValueMap"><config><Option type="Map"><Option type="List" name="map">
    <Option type="Map"><Option type="QString" name="confirmed · 已证实" value="confirmed"/></Option>
    <Option type="Map"><Option type="QString" name="refuted · 已排除" value="refuted"/></Option>
    <Option type="Map"><Option type="QString" name="inconclusive · 无法判定" value="inconclusive"/></Option>
    <Option type="Map"><Option type="QString" name="closed · 已办结" value="closed"/></Option>
   </Option></Option></config></editWidget>
  </field>
  <field name="visited">
   <editWidget type="DateTime"><config><Option type="Map">
    <Option type="QString" name="field_format" value="yyyy-MM-dd"/>
    <Option type="QString" name="display_format" value="yyyy-MM-dd"/>
    <Option type="bool" name="calendar_popup" value="true"/>
   </Option></config></editWidget>
  </field>
 </fieldConfiguration>
</qgis>
